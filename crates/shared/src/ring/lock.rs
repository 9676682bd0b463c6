//! The lock that shows that a ring's writer is alive. The kernel drops it with the process, so it cannot
//! be left behind; testing it changes nothing.
//!
//! It is a write lock, which only an open file with write access can hold. A writer holds all bytes; whoever
//! replaces the ring of a dead writer holds all but the first.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::FcntlArg;

/// Holds the lock until the last descriptor of this open file is gone.
///
/// # Errors
/// If another open file holds it, or the system refuses.
pub fn hold(file: &File) -> io::Result<()> {
    nix::fcntl::fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&write_lock(0, 0)))?;
    Ok(())
}

/// Does a writer hold the lock? If the test fails, yes: no ring is replaced then.
#[must_use]
pub fn is_held(file: &File) -> bool {
    // Asked as a reader, and for the first byte: a lock of a reader, or of a successor, is no sign of life.
    let mut lock = libc::flock {
        l_type: libc::F_RDLCK as libc::c_short,
        ..write_lock(0, 1)
    };
    match nix::fcntl::fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut lock)) {
        Ok(_) => i32::from(lock.l_type) != libc::F_UNLCK,
        Err(_) => true,
    }
}

/// Whose a ring is that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Succession {
    /// Ours to replace, as long as the file stays open: its writer is dead.
    Ours,
    /// Its writer lives.
    Alive,
    /// Another process replaces it, or holds a lock of another kind.
    Contended,
}

/// Tries to become the one process that may replace this ring. Does not wait.
///
/// # Errors
/// If the system refuses for another reason than the lock of another process.
pub fn succeed(file: &File) -> io::Result<Succession> {
    match nix::fcntl::fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&write_lock(1, 0))) {
        Ok(_) => Ok(Succession::Ours),
        Err(Errno::EAGAIN | Errno::EACCES) if is_held(file) => Ok(Succession::Alive),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(Succession::Contended),
        Err(errno) => Err(errno.into()),
    }
}

/// `bytes` is 0 for all that follow.
fn write_lock(start: libc::off_t, bytes: libc::off_t) -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: bytes,
        l_pid: 0,
    }
}
