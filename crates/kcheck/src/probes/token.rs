//! A random number by which this run recognises its own maps and packets among all others on the machine:
//! as a value in maps and as a thread's name.

use std::hash::BuildHasher as _;
use std::hash::RandomState;

/// `TASK_COMM_LEN`: the bytes of a thread's name with its closing NUL.
const COMM_BYTES: usize = 16;

/// Random for each run.
pub struct Token(u64);

impl Token {
    /// A new one.
    pub fn random() -> Self {
        // The standard library seeds its hash tables from the kernel's random numbers.
        Self(RandomState::new().hash_one("kcheck"))
    }

    /// As a value in a map.
    pub fn number(&self) -> u64 {
        self.0
    }

    /// As the name of a thread: one byte short of the kernel's limit.
    pub fn thread_name(&self) -> String {
        format!("kcheck-{:08x}", self.0 >> 32)
    }

    /// The name of that thread as the kernel has it.
    pub fn comm(&self) -> [u8; COMM_BYTES] {
        let mut comm = [0; COMM_BYTES];
        let name = self.thread_name();
        comm[..name.len()].copy_from_slice(name.as_bytes());
        comm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_fills_the_kernels_field() {
        for number in [0, u64::MAX] {
            let token = Token(number);
            assert_eq!(token.thread_name().len(), COMM_BYTES - 1);
            assert_eq!(token.comm().last(), Some(&0));
        }
        assert_ne!(Token::random().number(), Token::random().number());
    }
}
