//! What can go wrong with a network namespace. "Not found" and "not permitted to look" are
//! different answers.

use std::path::PathBuf;

use nix::errno::Errno;

/// A failure to make, find, open or enter a network namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A system call failed; `EPERM` means that `CAP_SYS_ADMIN` is missing.
    #[error("{call}: {errno}")]
    Call {
        /// The call as a person would name it: `unshare(CLONE_NEWNET)`.
        call: &'static str,
        /// Why.
        errno: Errno,
    },
    /// The file that stands for a namespace cannot be opened.
    #[error("open {}: {errno}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// The file is no network namespace.
    #[error("{}: not a network namespace", path.display())]
    NotANamespace {
        /// The file.
        path: PathBuf,
    },
    /// Every place was searched, and the namespace is in none of them.
    #[error("no network namespace {inum}")]
    NotFound {
        /// The inode number that was searched for.
        inum: u32,
    },
    /// Not found, but some places may not be read: `CAP_SYS_PTRACE` or root is missing.
    #[error("network namespace {inum} not found, and {places} places may not be read")]
    Hidden {
        /// The inode number that was searched for.
        inum: u32,
        /// How many places refused.
        places: usize,
    },
    /// The loopback interface of a new namespace could not be brought up, or a socket in a
    /// namespace could not be opened.
    #[error(transparent)]
    Netlink(#[from] crate::Error),
}

impl Error {
    /// Makes the error of a failed system call.
    pub fn call<E: Into<std::io::Error>>(call: &'static str) -> impl Fn(E) -> Self {
        move |error| Self::Call {
            call,
            errno: errno_of(error),
        }
    }

    /// Has what was to be opened just gone?
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.errno(), Some(Errno::ENOENT | Errno::ESRCH))
    }

    /// The error number behind this error, if there is one.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Call { errno, .. } | Self::Open { errno, .. } => Some(*errno),
            Self::Netlink(netlink) => netlink.errno(),
            Self::NotANamespace { .. } | Self::NotFound { .. } | Self::Hidden { .. } => None,
        }
    }
}

/// The number of an error of the standard library or of `nix`.
pub(super) fn errno_of(error: impl Into<std::io::Error>) -> Errno {
    let number = error.into().raw_os_error();
    number.map_or(Errno::UnknownErrno, Errno::from_raw)
}
