//! Files that a reader sees whole or not at all: written beside their place, then renamed over what was
//! there. A symbolic link is replaced, never followed.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::Builder;
use tempfile::NamedTempFile;

/// Writes a file beside `path`, with this mode less the umask; it is gone when dropped. `persist` puts it
/// in its place.
///
/// # Errors
/// If it cannot be written; then nothing is left of it.
pub fn write_beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let mut file = Builder::new()
        .prefix(&prefix(path))
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(parent(path))?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Replaces a file, with this mode less the umask.
///
/// # Errors
/// If it cannot be written; then nothing is left of it, and what was there stays.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write_beside(path, bytes, mode)?.persist(path)?;
    Ok(())
}

/// What a temporary name beside `path` begins with. The rest is random, so that neither another user nor
/// the remains of a killed run are in the way. bpffs allows no dots in names.
#[must_use]
pub fn prefix(path: &Path) -> OsString {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push("-");
    name
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
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(dir: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
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
    fn what_is_not_put_in_place_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "old").unwrap();
        let beside = write_beside(&file, b"new", 0o600).unwrap();
        let other = write_beside(&file, b"new", 0o600).unwrap();
        assert_ne!(beside.path(), other.path());
        assert_eq!(names(dir.path()).len(), 3);
        drop((beside, other));
        assert_eq!(names(dir.path()), ["file"]);
        assert_eq!(fs::read(&file).unwrap(), b"old");
    }
}
