//! Files that a reader sees whole or not at all: written under a temporary name beside their path, then
//! renamed. A symbolic link is replaced, never followed; a device, a pipe or a socket is left as it is.

use std::ffi::OsString;
use std::fs;
use std::fs::Permissions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use anyhow::bail;
use tempfile::Builder;
use tempfile::NamedTempFile;

/// Refuses a path where no file can be, before any work is done.
///
/// # Errors
/// If its directory does not exist, or the path names no file.
pub fn check(path: &Path) -> anyhow::Result<()> {
    let directory = parent(path);
    let inode = fs::metadata(directory).with_context(|| format!("find {}", directory.display()))?;
    if !inode.is_dir() {
        bail!("{} is not a directory", directory.display());
    }
    if path.file_name().is_none() {
        bail!("it names no file");
    }
    Ok(())
}

/// Refuses, besides, a path where something other than a regular file is, such as a device or a link.
///
/// # Errors
/// Also those of [`check`].
pub fn check_regular(path: &Path) -> anyhow::Result<()> {
    check(path)?;
    if fs::symlink_metadata(path).is_ok_and(|inode| !inode.is_file()) {
        bail!("not a regular file");
    }
    Ok(())
}

/// Writes a temporary file beside `path`, with this mode less the umask. Dropping it removes it;
/// [`place`] renames it to `path`.
///
/// # Errors
/// If it cannot be written; then nothing remains of it.
pub fn write_beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let mut file = Builder::new()
        .prefix(&prefix(path))
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(parent(path))
        // Without the temporary name, which tells a user nothing.
        .map_err(|error| io::Error::from(error.kind()))?;
    file.as_file_mut().write_all(bytes)?;
    Ok(file)
}

/// Replaces a file, with this mode less the umask.
///
/// # Errors
/// If it cannot be written; then the old file stays as it is.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    place(write_beside(path, bytes, mode)?, path)
}

/// Renames the temporary file to `path`.
///
/// # Errors
/// If what is there is neither a file nor a link to something, or it cannot be renamed.
pub fn place(beside: NamedTempFile, path: &Path) -> io::Result<()> {
    // Root may replace any device, and the system would be without it.
    let inode = fs::symlink_metadata(path).map(|inode| inode.file_type());
    if inode.is_ok_and(|it| !it.is_file() && !it.is_symlink()) {
        return Err(io::Error::other("not a regular file"));
    }
    let placed = beside.persist(path);
    placed.map(|_file| ()).map_err(|failed| failed.error)
}

/// The beginning of a temporary name beside `path`. The rest is random, so that neither another user nor
/// the remains of a killed run can be in the way. bpffs allows no dots in names.
#[must_use]
pub fn prefix(path: &Path) -> OsString {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push("-");
    name
}

/// The directory of a path.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    fn names(dir: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_link_is_replaced_and_its_target_stays() {
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
    fn what_is_no_file_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let socket = dir.path().join("socket");
        let _socket = UnixListener::bind(&socket).unwrap();
        let folder = dir.path().join("folder");
        fs::create_dir(&folder).unwrap();
        for path in [&pipe, &socket, &folder] {
            let before = fs::symlink_metadata(path).unwrap();
            let error = check_regular(path).unwrap_err().to_string();
            assert_eq!(error, "not a regular file");
            let error = replace(path, b"new", 0o600).unwrap_err().to_string();
            assert_eq!(error, "not a regular file");
            let after = fs::symlink_metadata(path).unwrap();
            assert_eq!(after.file_type(), before.file_type());
        }
        assert_eq!(names(dir.path()).len(), 3);
        check(&pipe).unwrap();
        let link = dir.path().join("link");
        symlink("nowhere", &link).unwrap();
        assert!(check_regular(&link).is_err());
        check_regular(&dir.path().join("fresh")).unwrap();
    }

    #[test]
    fn a_dropped_temporary_file_is_removed() {
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
