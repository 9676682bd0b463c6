//! Outcomes kept between runs, one file of JSON per kernel: so the page can tell of kernels that
//! were tried at different times, each with the version of Sextant that it was tried with. The last
//! attempt counts: one that fails leaves none.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;

use super::outcome::Outcome;

/// Keeps an outcome, in place of an older one of the same kernel.
///
/// # Errors
/// If it cannot be written.
pub fn keep(directory: &Path, outcome: &Outcome) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    let path = file(directory, &outcome.kernel);
    let text = serde_json::to_vec(outcome)?;
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

/// Forgets the outcome of a kernel, if there is one.
///
/// # Errors
/// If it cannot be removed.
pub fn forget(directory: &Path, kernel: &str) -> anyhow::Result<()> {
    let path = file(directory, kernel);
    match fs::remove_file(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("remove {}", path.display())),
    }
}

/// The outcome of a kernel, if it was ever tried.
///
/// # Errors
/// If there is one and it cannot be read.
pub fn kept(directory: &Path, kernel: &str) -> anyhow::Result<Option<Outcome>> {
    let path = file(directory, kernel);
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

fn file(directory: &Path, kernel: &str) -> PathBuf {
    directory.join(format!("{kernel}.json"))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::matrix::outcome::Tally;

    #[test]
    fn what_is_kept_is_there_until_it_is_forgotten() {
        let directory = TempDir::new().unwrap();
        let directory = directory.path().join("results");
        let release = |kernel| kept(&directory, kernel).unwrap().map(|found| found.release);
        let mut outcome = Outcome {
            kernel: "6.12".into(),
            release: "first".into(),
            taken: "6.12-1".into(),
            sextant: "abc".into(),
            asked: String::new(),
            fields: Vec::new(),
            idle: Tally::default(),
            storm: Tally::default(),
            storm_connections: 7,
            conditions: Vec::new(),
        };
        assert_eq!(release("6.12"), None);
        forget(&directory, "6.12").unwrap();
        keep(&directory, &outcome).unwrap();
        outcome.release = "second".into();
        keep(&directory, &outcome).unwrap();
        assert_eq!(release("6.12").as_deref(), Some("second"));
        assert_eq!(release("6.1"), None);
        forget(&directory, "6.12").unwrap();
        assert_eq!(release("6.12"), None);
    }
}
