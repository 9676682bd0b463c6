//! What hides the addresses of kernel objects in the pinned maps: `hide` and `reveal` of
//! `bpf/include/identity.h` compute with it. Pure, except where it draws its secrets.

use std::fs::File;
use std::io::Read as _;

use anyhow::Context as _;

/// Secrets of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hiding {
    /// Added to the address without carry.
    pub mask: u64,
    /// Odd: what the result is multiplied by.
    pub factor: u64,
    /// The inverse of the factor modulo 2^64.
    pub inverse: u64,
}

impl Hiding {
    /// New secrets.
    ///
    /// # Errors
    /// If the kernel gives no random bytes.
    pub fn new() -> anyhow::Result<Self> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut bytes))
            .context("read /dev/urandom")?;
        let [mask, factor]: [u64; 2] = zerocopy::transmute!(bytes);
        Ok(Self::of(mask, factor | 1))
    }

    fn of(mask: u64, factor: u64) -> Self {
        // Newton's iteration doubles the number of right bits; a number inverts itself modulo 8.
        let inverse = (0..5).fold(factor, |inverse, _| {
            inverse.wrapping_mul(2_u64.wrapping_sub(factor.wrapping_mul(inverse)))
        });
        Self {
            mask,
            factor,
            inverse,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::proptest;

    use super::*;

    proptest! {
        #[test]
        fn what_is_hidden_can_be_revealed(mask: u64, factor: u64, address: u64) {
            let secrets = Hiding::of(mask, factor | 1);
            let product = (address ^ secrets.mask).wrapping_mul(secrets.factor);
            let hidden = product ^ product >> 32;
            let revealed = (hidden ^ hidden >> 32).wrapping_mul(secrets.inverse) ^ secrets.mask;
            assert_eq!(revealed, address);
        }
    }
}
