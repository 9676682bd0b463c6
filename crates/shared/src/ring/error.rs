//! The errors of a ring, each with its own sentence.

use std::fmt;
use std::io;

/// Why a ring cannot be made, opened or read.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// There is no file of that name.
    #[error("ring {0} does not exist")]
    Missing(String),
    /// Not a name, or not a place, for a ring.
    #[error("ring name {0:?} is not a file name of letters, digits, '.', '_' and '-', nor a path")]
    BadName(String),
    /// Something else than a file has the ring's name.
    #[error("{name} is {what} of user {owner}, not a ring")]
    NoFile {
        /// The name.
        name: String,
        /// What it is, with its article.
        what: &'static str,
        /// User id of its owner.
        owner: u32,
    },
    /// A ring that its reader has no reason to trust.
    #[error("ring {name} belongs to user {owner}, neither to root nor to the user of this program")]
    Owner {
        /// The ring.
        name: String,
        /// User id of its owner.
        owner: u32,
    },
    /// A new ring cannot have this name.
    #[error(
        "ring {name} cannot be made: {what} of user {owner} has that name; remove it or choose another name"
    )]
    Occupied {
        /// The ring.
        name: String,
        /// What has the name, with its article.
        what: &'static str,
        /// User id of its owner.
        owner: u32,
    },
    /// Another process holds the lock of a dead writer's ring, but writes no ring.
    #[error("ring {0} cannot be replaced: its writer is dead, but another process has locked it")]
    Contended(String),
    /// The file does not begin like a ring.
    #[error("{0} is not a ring of this machine")]
    Foreign(String),
    /// The file ends before its header says.
    #[error("ring {name} is cut short: {found} of {expected} bytes")]
    Truncated {
        /// The ring.
        name: String,
        /// Bytes that are there.
        found: u64,
        /// Bytes that the header announces.
        expected: u64,
    },
    /// Written by an incompatible version.
    #[error(
        "ring {name} has ABI {major}.{minor}, this program reads {}.x",
        super::layout::ABI_MAJOR
    )]
    Abi {
        /// The ring.
        name: String,
        /// Its major version.
        major: u16,
        /// Its minor version.
        minor: u16,
    },
    /// Same ABI number, another record.
    #[error("ring {0} describes another record than this program knows")]
    Schema(String),
    /// From before the last reboot.
    #[error("ring {0} is from before the last reboot")]
    OtherBoot(String),
    /// The header contradicts itself.
    #[error("ring {0} has a corrupt header")]
    Corrupt(String),
    /// Somebody damaged it while it was in use.
    #[error("ring {0} was cut short or overwritten by another process")]
    Damaged(String),
    /// Another process writes it.
    #[error("ring {name} is being written by process {pid}")]
    Busy {
        /// The ring.
        name: String,
        /// The other writer.
        pid: u32,
    },
    /// The requested size is impossible.
    #[error("a ring of {0} bytes is too small or too large")]
    Size(u64),
    /// The system refused.
    #[error("{what} {name}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which ring.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

impl RingError {
    /// Makes the error for what the system refused.
    pub(super) fn io(what: &'static str, ring: &impl fmt::Display) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io {
            what,
            name: ring.to_string(),
            source,
        }
    }
}
