//! What can go wrong with a network namespace. "Not there" and "not allowed to look" are
//! different answers.

use std::path::PathBuf;

use nix::errno::Errno;

use crate as netlink;

/// A failure to make, find, open or enter a network namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A system call failed; `EPERM` means that `CAP_SYS_ADMIN` is missing.
    #[error("{call}: {errno}")]
    Call {
        /// The call, as a person would name it: `unshare(CLONE_NEWNET)`.
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
    /// Every place was looked at, and no such namespace is there (any more).
    #[error("no network namespace {inum}")]
    NotFound {
        /// The inode number that was looked for.
        inum: u32,
    },
    /// Not found, but some places may not be looked at: `CAP_SYS_PTRACE` or root is missing.
    #[error("network namespace {inum} not found, and {places} places may not be read")]
    Hidden {
        /// The inode number that was looked for.
        inum: u32,
        /// How many places refused.
        places: usize,
    },
    /// The loopback interface of a new namespace could not be brought up, or a socket in a
    /// namespace could not be opened.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
}

impl Error {
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
