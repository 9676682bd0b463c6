//! Recorded runs: writes a [`Capture`] to a file and reads it back, so that the same search can be repeated
//! anywhere, without privilege and without that kernel. `form` is how it is written and what a reader
//! refuses. A capture contains kernel memory: it goes to files of mode 0600, and never into a log.

mod capture;
mod form;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use anyhow::bail;
use shared::atomic_file;

use capture::Machine;

pub use capture::Capture;
pub use form::MAX_CAPTURE_BYTES;
pub use form::decode;
pub use form::encode;

/// Refuses a path where no capture can be written, before anything is captured.
///
/// # Errors
/// If its directory does not exist, or it is something other than a regular file.
pub fn check_destination(path: &Path) -> anyhow::Result<()> {
    let what = || format!("record to {}", path.display());
    atomic_file::check_regular(path).with_context(what)
}

/// Writes a capture that only its owner may read.
///
/// # Errors
/// If it is too large, or cannot be written.
pub fn record(path: &Path, capture: &Capture) -> anyhow::Result<()> {
    let what = || format!("record to {}", path.display());
    let bytes = encode(capture).with_context(what)?;
    atomic_file::replace(path, &bytes, 0o600).with_context(what)?;
    let (samples, size) = (capture.samples(), bytes.len());
    log::info!("recorded {samples} samples, {size} bytes");
    Ok(())
}

/// Reads a capture.
///
/// # Errors
/// If the file cannot be read, is not a capture, or comes from another kind of machine.
pub fn read(path: &Path) -> anyhow::Result<Capture> {
    let what = || format!("replay {}", path.display());
    let file = File::open(path).with_context(what)?;
    let mut bytes = Vec::new();
    file.take(MAX_CAPTURE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(what)?;
    let capture = decode(&bytes).with_context(what)?;
    if capture.machine != Machine::HERE {
        let machine = &capture.kernel.machine;
        bail!("{}: recorded on another kind of machine: {machine}", what());
    }
    Ok(capture)
}
