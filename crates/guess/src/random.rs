//! Where random numbers come from: values that nobody else on this machine uses. They need to be
//! improbable, not secret, so the kernel gives the seed only.

use std::fs::File;
use std::io::Read as _;

use anyhow::Context as _;
use fastrand::Rng;

/// A stream of random numbers. (`Rng::new` would be seeded by the time.)
///
/// # Errors
/// If `/dev/urandom` cannot be read.
pub fn seeded() -> anyhow::Result<Rng> {
    let mut seed = [0; 8];
    let mut kernel = File::open("/dev/urandom").context("open /dev/urandom")?;
    kernel.read_exact(&mut seed).context("read /dev/urandom")?;
    Ok(Rng::with_seed(u64::from_ne_bytes(seed)))
}
