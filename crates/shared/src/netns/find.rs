//! Finds a network namespace by its inode number, which is all that a record says of it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

use super::Error;
use super::Namespace;

/// Where named namespaces are bound: by `ip netns` and by container engines.
const NAMED: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// Opens the network namespace with this inode number: the calling thread's own, a named one, or
/// that of any process, in this order.
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
    let named = NAMED.iter().flat_map(|dir| entries(Path::new(dir)));
    let processes = entries(Path::new("/proc")).filter_map(|entry| {
        let number = entry
            .file_name()?
            .to_str()?
            .bytes()
            .all(|byte| byte.is_ascii_digit());
        number.then(|| entry.join("ns/net"))
    });
    let mut hidden = 0;
    for path in named.chain(processes) {
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
            // A file of another kind with this number, or a process that has just ended.
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

/// The paths in a directory; none if it is not there.
fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

fn is_gone(error: &Error) -> bool {
    use nix::errno::Errno;
    matches!(error.errno(), Some(Errno::ENOENT | Errno::ESRCH))
}
