//! The descriptor on which we say that everything is in place, as s6 understands it: a newline,
//! then the end.

use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use nix::fcntl::FcntlArg;
use nix::fcntl::OFlag;
use nix::fcntl::fcntl;
use shared::exit::Failure;

/// A descriptor that somebody waits on.
pub struct Ready {
    file: File,
}

impl Ready {
    /// Takes over descriptor `number`, which must be open for writing.
    ///
    /// # Errors
    /// Exit 2 if it is not.
    pub fn take(number: i32) -> anyhow::Result<Self> {
        let bad = || Failure::Usage(format!("--ready-fd {number} is not open for writing"));
        // Through /proc, for a number alone cannot be trusted to be a descriptor that is ours.
        let file = OpenOptions::new()
            .write(true)
            .open(format!("/proc/self/fd/{number}"))
            .with_context(bad)?;
        let flags = fcntl(file.as_fd(), FcntlArg::F_GETFL).map(OFlag::from_bits_truncate);
        if flags.is_ok_and(|flags| flags.contains(OFlag::O_PATH)) {
            return Err(bad().into());
        }
        if number > 2 {
            // Who waits sees the end only when no copy is left.
            nix::unistd::close(number).with_context(bad)?;
        }
        Ok(Self { file })
    }

    /// Says it.
    pub fn tell(mut self) {
        if let Err(error) = self.file.write_all(b"\n") {
            log::warn!("write to --ready-fd: {error}");
        }
    }
}
