//! Stores outcomes between runs, one JSON file per kernel, so that the page can show kernels that were tried
//! at different times, each with its version of Sextant. The last attempt counts: if it fails, there is none.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;

use super::outcome::Outcome;

/// Stores an outcome, in place of an older one of the same kernel.
///
/// # Errors
/// If it cannot be written.
pub fn save(directory: &Path, outcome: &Outcome) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    let path = file(directory, &outcome.kernel);
    let text = serde_json::to_vec(outcome)?;
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

/// Removes the outcome of a kernel, if there is one.
///
/// # Errors
/// If it cannot be removed.
pub fn remove(directory: &Path, kernel: &str) -> anyhow::Result<()> {
    let path = file(directory, kernel);
    match fs::remove_file(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("remove {}", path.display())),
    }
}

/// Loads the outcome of a kernel, if there is one.
///
/// # Errors
/// If there is one and it cannot be read.
pub fn load(directory: &Path, kernel: &str) -> anyhow::Result<Option<Outcome>> {
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
    fn an_outcome_is_stored_until_it_is_removed() {
        let directory = TempDir::new().unwrap();
        let directory = directory.path().join("results");
        let release = |kernel| load(&directory, kernel).unwrap().map(|found| found.release);
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
        remove(&directory, "6.12").unwrap();
        save(&directory, &outcome).unwrap();
        outcome.release = "second".into();
        save(&directory, &outcome).unwrap();
        assert_eq!(release("6.12").as_deref(), Some("second"));
        assert_eq!(release("6.1"), None);
        remove(&directory, "6.12").unwrap();
        assert_eq!(release("6.12"), None);
    }
}
