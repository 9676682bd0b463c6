//! Values that nobody else on this machine uses: seeded by the kernel, mixed by SplitMix64. They
//! need to be improbable, not secret.

use std::fs::File;
use std::io;
use std::io::Read as _;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Seeds a stream.
    ///
    /// # Errors
    /// If `/dev/urandom` cannot be read.
    pub fn from_kernel() -> io::Result<Self> {
        let mut seed = [0; 8];
        File::open("/dev/urandom")?.read_exact(&mut seed)?;
        Ok(Self(u64::from_ne_bytes(seed)))
    }

    /// The same stream each time.
    #[cfg(test)]
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A mark for a packet: any but 0, which means none.
    pub fn mark(&mut self) -> u32 {
        self.between(1, u32::MAX)
    }

    /// A number of at least `low` and below `high`.
    pub fn between(&mut self, low: u32, high: u32) -> u32 {
        // The modulo favours small numbers by less than 2^-32.
        low + (self.number() % u64::from(high - low)) as u32
    }

    /// Puts a list in random order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (1..list.len()).rev() {
            list.swap(end, self.between(0, end as u32 + 1) as usize);
        }
    }
}
