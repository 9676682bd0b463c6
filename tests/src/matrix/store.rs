//! Outcomes kept between runs, one file of JSON per kernel: so the page can tell of kernels that
//! were tried at different times, each with the version of Sextant that it was tried with.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;

use super::outcome::Outcome;

/// Keeps an outcome, in place of an older one of the same kernel.
///
/// # Errors
/// If it cannot be written.
pub fn keep(directory: &Path, outcome: &Outcome) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    let path = directory.join(format!("{}.json", outcome.kernel));
    let text = serde_json::to_vec(outcome)?;
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

/// The outcome of a kernel, if it was ever tried.
///
/// # Errors
/// If there is one and it cannot be read.
pub fn kept(directory: &Path, kernel: &str) -> anyhow::Result<Option<Outcome>> {
    let path = directory.join(format!("{kernel}.json"));
    let text = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("read {}", path.display()))?,
    };
    let parsed = serde_json::from_slice(&text);
    parsed.map(Some).with_context(|| {
        format!(
            "read {}; remove it if an older version wrote it",
            path.display()
        )
    })
}
