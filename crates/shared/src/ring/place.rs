//! What lies under the name of a ring: looked at and opened without following a link and without waiting
//! for anybody, since any user may have put it there.

use std::fs;
use std::fs::File;
use std::fs::FileType;
use std::fs::Metadata;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;

use super::RingError;
use super::RingName;
use super::layout::MAGIC;
use super::layout::at;

/// Something under a ring's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What it is, with its article.
    pub what: &'static str,
    /// User id of its owner.
    pub owner: u32,
    /// Device and inode.
    pub id: (u64, u64),
}

/// A regular file; anything else is no ring.
pub const FILE: &str = "a file";

impl Found {
    /// What these metadata describe.
    #[must_use]
    pub fn of(meta: &Metadata) -> Self {
        Self {
            what: name(meta.file_type()),
            owner: meta.uid(),
            id: (meta.dev(), meta.ino()),
        }
    }
}

/// What is under the name itself; none if nothing is.
///
/// # Errors
/// If the system refuses to look.
pub fn look(ring: &RingName) -> Result<Option<Found>, RingError> {
    match fs::symlink_metadata(ring.path()) {
        Ok(meta) => Ok(Some(Found::of(&meta))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RingError::io("look at ring", ring)(error)),
    }
}

/// Opens the file of this name, for writing if asked.
///
/// # Errors
/// [`RingError::Missing`], [`RingError::NoFile`], or what the system refused.
pub fn open(ring: &RingName, write: bool) -> Result<(File, Metadata), RingError> {
    let missing = || RingError::Missing(ring.to_string());
    let must_be_file = |found: Found| match found.what {
        FILE => Ok(()),
        what => Err(RingError::NoFile {
            name: ring.to_string(),
            what,
            owner: found.owner,
        }),
    };
    // To open a device may have effects: so it is looked at first.
    must_be_file(look(ring)?.ok_or_else(missing)?)?;
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut options = OpenOptions::new();
    let options = options.read(true).write(write).custom_flags(flags);
    let file = options
        .open(ring.path())
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(),
            _ => RingError::io("open ring", ring)(error),
        })?;
    // It may have been exchanged since.
    let meta = file
        .metadata()
        .map_err(RingError::io("look at ring", ring))?;
    must_be_file(Found::of(&meta))?;
    Ok((file, meta))
}

/// Does the file begin like a ring? Empty files do: a ring that was cut is one.
///
/// # Errors
/// If it cannot be read.
pub fn is_ring(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.len() == 0 || word(file, at::MAGIC)? == Some(MAGIC))
}

/// Process id in the header of a ring file that may be anything.
#[must_use]
pub fn writer_pid(file: &File) -> Option<u32> {
    let word = word(file, at::WRITER).ok()??;
    Some((word >> 32) as u32)
}

/// A word of the file, which is not mapped for it: a file that is cut has none, and raises no signal.
fn word(file: &File, at: usize) -> io::Result<Option<u64>> {
    let mut bytes = [0; 8];
    match file.read_exact_at(&mut bytes, at as u64) {
        Ok(()) => Ok(Some(u64::from_ne_bytes(bytes))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn name(file: FileType) -> &'static str {
    if file.is_file() {
        FILE
    } else if file.is_dir() {
        "a directory"
    } else if file.is_symlink() {
        "a symbolic link"
    } else if file.is_fifo() {
        "a FIFO"
    } else if file.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}
