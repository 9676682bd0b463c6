//! Finds the network namespaces of this host: one by its inode number, as records have it, or all.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::iter;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

use nix::errno::Errno;

use super::error::Error;
use super::namespace::Namespace;

/// Where named namespaces are bound: by `ip netns` and by container engines.
const NAMED: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// Opens the network namespace with this inode number. Searches the calling thread's own, named
/// ones, and those of processes, in this order.
///
/// A namespace that only sockets, descriptors or single threads keep alive is not found.
///
/// # Errors
/// [`Error::NotFound`] if it is in none of these places, [`Error::Hidden`] if it may be in one
/// that cannot be read, or another error if opening it fails.
pub fn find(inum: u32) -> Result<Namespace, Error> {
    let own = Namespace::current()?;
    if own.inum() == inum {
        return Ok(own);
    }
    let mut hidden = 0;
    for path in places() {
        match path.metadata().map(|inode| inode.ino()) {
            Ok(ino) if ino == u64::from(inum) => {}
            Ok(_) => continue,
            Err(error) => {
                hidden += usize::from(error.kind() == io::ErrorKind::PermissionDenied);
                continue;
            }
        }
        match Namespace::open(&path) {
            Ok(found) if found.inum() == inum => return Ok(found),
            // Another kind of file with this number, or a process that has just ended.
            Ok(_) | Err(Error::NotANamespace { .. }) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    match hidden {
        0 => Err(Error::NotFound { inum }),
        places => Err(Error::Hidden { inum, places }),
    }
}

/// Every network namespace of this host that [`find`] would find, once each and in the same
/// order: the calling thread's own comes first. The search is lazy.
///
/// Namespaces that are hidden from this process, or end during the search, are left out.
///
/// # Errors
/// An item is an error if a namespace exists and cannot be opened.
pub fn all() -> impl Iterator<Item = Result<Namespace, Error>> {
    let own = Namespace::current();
    let mut seen = HashSet::new();
    seen.extend(own.as_ref().map(Namespace::inum));
    let others = places().filter_map(move |path| {
        // Most processes share a namespace, and stat is cheaper than open.
        let inum = u32::try_from(path.metadata().ok()?.ino()).ok()?;
        if seen.contains(&inum) {
            return None;
        }
        let opened = Namespace::open(&path);
        match &opened {
            Ok(namespace) => seen.insert(namespace.inum()).then_some(opened),
            Err(Error::NotANamespace { .. }) => None,
            Err(error) if is_gone(error) || is_hidden(error) => None,
            Err(_) => Some(opened),
        }
    });
    iter::once(own).chain(others)
}

/// The files that stand for namespaces: named ones, then those of processes.
fn places() -> impl Iterator<Item = PathBuf> {
    let named = NAMED.iter().flat_map(|dir| entries(Path::new(dir)));
    let processes = iter::once_with(|| entries(Path::new("/proc"))).flatten();
    named.chain(processes.filter_map(|entry| {
        let name = entry.file_name()?.as_bytes();
        let is_pid = name.iter().all(u8::is_ascii_digit);
        is_pid.then(|| entry.join("ns/net"))
    }))
}

/// The paths in a directory; none if it does not exist.
fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

fn is_gone(error: &Error) -> bool {
    matches!(error.errno(), Some(Errno::ENOENT | Errno::ESRCH))
}

fn is_hidden(error: &Error) -> bool {
    matches!(error.errno(), Some(Errno::EACCES | Errno::EPERM))
}
