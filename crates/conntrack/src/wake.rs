//! What ends the pump's sleep besides an event: a stop that is asked for, a clock that is set. One
//! descriptor for all, so that sources need not know what they are.

use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use anyhow::Context as _;
use nix::sys::epoll::Epoll;
use nix::sys::epoll::EpollCreateFlags;
use nix::sys::epoll::EpollEvent;
use nix::sys::epoll::EpollFlags;

/// Readable while one of several descriptors is.
pub struct Wake(Epoll);

impl Wake {
    /// Watches these.
    ///
    /// # Errors
    /// If the kernel cannot watch them.
    pub fn on(fds: &[BorrowedFd<'_>]) -> anyhow::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("make an epoll")?;
        for fd in fds {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, 0);
            epoll.add(fd, event).context("watch a descriptor")?;
        }
        Ok(Self(epoll))
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}
