//! Files that are seen whole or not at all: made aside, then renamed over what was there.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use crate::random::Random;

/// A whole file that is not in its place yet. Gone when dropped.
#[derive(Debug)]
pub struct Aside {
    path: PathBuf,
    at: PathBuf,
}

impl Aside {
    /// Writes a file beside `path`, with this mode less the umask.
    ///
    /// # Errors
    /// If it cannot be written; then nothing is left of it.
    pub fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<Self> {
        let at = aside(path)?;
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&at)?;
        let aside = Self {
            path: path.to_owned(),
            at,
        };
        file.write_all(bytes)?;
        Ok(aside)
    }

    /// Puts it in its place. A symbolic link there is replaced, never followed.
    ///
    /// # Errors
    /// If that fails; then what was there stays.
    pub fn commit(self) -> io::Result<()> {
        fs::rename(&self.at, &self.path)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // After a commit there is nothing.
        let _ = fs::remove_file(&self.at);
    }
}

/// Replaces a file, with this mode less the umask. A symbolic link is replaced, never followed.
///
/// # Errors
/// If it cannot be written; then nothing is left of it, and what was there stays.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    Aside::write(path, bytes, mode)?.commit()
}

/// A name beside `path` that nobody can foresee, so that neither another user nor what a run left that
/// was killed is in the way. bpffs allows no dots in names.
///
/// # Errors
/// If the kernel gives no random numbers.
pub fn aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = Random::from_kernel()?.number();
    Ok(path.with_file_name(format!("{name}-{number:016x}")))
}

/// The directory in which a path is.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_link_is_replaced_and_what_it_points_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (link, target) = (dir.path().join("link"), dir.path().join("target"));
        fs::write(&target, "precious").unwrap();
        symlink(&target, &link).unwrap();
        replace(&link, b"new", 0o600).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"precious");
        assert_eq!(fs::read(&link).unwrap(), b"new");
        let inode = fs::symlink_metadata(&link).unwrap();
        assert!(inode.is_file());
        assert_eq!(inode.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_not_committed_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "old").unwrap();
        let aside = Aside::write(&file, b"new", 0o600).unwrap();
        assert_eq!(names(dir.path()).len(), 2);
        drop(aside);
        assert_eq!(names(dir.path()), ["file"]);
        assert_eq!(fs::read(&file).unwrap(), b"old");
    }

    #[test]
    fn two_runs_do_not_meet() {
        let file = Path::new("/run/offsets");
        let (one, other) = (aside(file).unwrap(), aside(file).unwrap());
        assert_ne!(one, other);
        assert_eq!(one.parent(), file.parent());
    }
}
