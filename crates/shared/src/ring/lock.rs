//! The lock that shows that a ring's writer is alive. The kernel drops it with the process, so it cannot
//! be left behind; testing it changes nothing.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use nix::fcntl::FcntlArg;

/// Holds the lock until the last descriptor of this open file is gone.
///
/// # Errors
/// If another open file holds it, or the system refuses.
pub fn hold(file: &File) -> io::Result<()> {
    nix::fcntl::fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&whole_file()))?;
    Ok(())
}

/// Does any other open file hold the lock? If the test fails, yes: no ring is replaced then.
#[must_use]
pub fn is_held(file: &File) -> bool {
    let mut lock = whole_file();
    match nix::fcntl::fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut lock)) {
        Ok(_) => i32::from(lock.l_type) != libc::F_UNLCK,
        Err(_) => true,
    }
}

fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
