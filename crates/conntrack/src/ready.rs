//! Readiness notification as s6 defines it: a newline on a descriptor, which is then closed.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write as _;

use anyhow::Context as _;
use nix::fcntl::OFlag;
use shared::exit::Failure;

/// A descriptor that a supervisor waits on.
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
        // Through /proc, because the number alone may not be an open descriptor.
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).with_context(bad)?;
        if !is_writable(&info) {
            return Err(bad().into());
        }
        let file = OpenOptions::new()
            .write(true)
            .open(format!("/proc/self/fd/{number}"))
            .with_context(bad)?;
        if number > 2 {
            // The supervisor sees end of file only when no copy is open.
            nix::unistd::close(number).with_context(bad)?;
        }
        Ok(Self { file })
    }

    /// Writes the newline and closes the descriptor.
    pub fn notify(mut self) {
        if let Err(error) = self.file.write_all(b"\n") {
            log::warn!("write to --ready-fd: {error}");
        }
    }
}

/// Does `/proc/PID/fdinfo` show a descriptor that was opened for writing?
fn is_writable(info: &str) -> bool {
    let flags = info
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .and_then(|octal| i32::from_str_radix(octal.trim(), 8).ok())
        .map(OFlag::from_bits_retain);
    flags.is_some_and(|flags| {
        flags.intersects(OFlag::O_WRONLY | OFlag::O_RDWR) && !flags.contains(OFlag::O_PATH)
    })
}

#[cfg(test)]
mod tests {
    use super::is_writable;

    #[test]
    fn only_what_was_opened_for_writing_is_writable() {
        for (flags, expected) in [("0100001", true), ("02", true), ("0100000", false)] {
            let info = format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t15\n");
            assert_eq!(is_writable(&info), expected, "{flags}");
        }
        assert!(!is_writable("flags:\t010000001") && !is_writable(""));
    }
}
