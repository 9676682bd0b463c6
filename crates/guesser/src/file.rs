//! Files that are seen whole or not at all: made aside, then renamed over what was there.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process;

/// Replaces a file, with this mode less the umask. A symbolic link is replaced, never followed.
///
/// # Errors
/// If it cannot be written; then nothing is left of it, and what was there stays.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let aside = aside(path);
    let written = File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&aside)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&aside, path));
    // What another process made under this name is not ours to remove.
    let is_foreign = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
    if written.as_ref().is_err_and(|error| !is_foreign(error)) {
        let _ = fs::remove_file(&aside);
    }
    written
}

/// A name beside `path` that only this process uses. bpffs allows no dots in names.
#[must_use]
pub fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}-{}", process::id()))
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
    fn what_lies_aside_is_neither_used_nor_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, target) = (dir.path().join("file"), dir.path().join("target"));
        symlink(&target, aside(&file)).unwrap();
        let error = replace(&file, b"new", 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(!target.exists());
        assert!(fs::symlink_metadata(aside(&file)).is_ok());
    }
}
