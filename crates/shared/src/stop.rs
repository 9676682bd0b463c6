//! One flag that SIGINT and SIGTERM raise, and that loops check between two pieces of work. A second signal
//! ends the process at once, so a program that hangs can still be stopped by hand.

use std::io;
use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use nix::fcntl::OFlag;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;
use signal_hook::low_level::pipe;

/// Raised once a stop was requested. Clones share the flag.
#[derive(Clone)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    readable: Arc<OwnedFd>,
}

impl Stop {
    /// Installs the handlers for SIGINT and SIGTERM.
    ///
    /// # Errors
    /// If the pipe cannot be made or a handler cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let (readable, writable) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Order matters: the first registered acts on the second signal, not on the first.
            let status = 128 + signal;
            signal_hook::flag::register_conditional_shutdown(signal, status, Arc::clone(&flag))?;
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
            pipe::register(signal, writable.try_clone()?)?;
        }
        Ok(Self {
            flag,
            readable: Arc::new(readable),
        })
    }

    /// Was a stop requested?
    #[must_use]
    pub fn asked(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Becomes readable when a stop is requested: add it to a `poll` set.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}
