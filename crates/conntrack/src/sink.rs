//! What sources and their readers agree on: how a record is handed over, and how to wait for more.
//! A record goes from the kernel's buffer to its slot in the ring without a queue between.

use std::time::Duration;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollTimeout;
use nix::poll::poll;
use shared::record::wire::Record;

/// Takes one record at a time.
pub type Sink<'a> = &'a mut dyn FnMut(&Record);

/// Waits until a descriptor is ready, the time is over, or a signal arrives.
///
/// # Errors
/// If poll fails.
pub fn wait(fds: &mut [PollFd<'_>], at_most: Duration) -> anyhow::Result<()> {
    let timeout = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX);
    match poll(fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno).context("wait for events"),
    }
}
