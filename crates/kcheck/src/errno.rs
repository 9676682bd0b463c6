//! Error numbers by their symbolic names, and how to get one out of libbpf's errors. Pure.

use std::fmt;
use std::io;

use nix::errno::Errno;

/// `ENOTSUPP` of the kernel's own `linux/errno.h`: no number for user space, yet bpf(2) returns
/// it, and the C library has no name for it.
const ENOTSUPP: i32 = 524;

/// An error number of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelErrno(i32);

impl KernelErrno {
    /// The number behind a libbpf error, if there is one.
    ///
    /// libbpf-rs keeps it out of reach of any downcast, but its text ends in that of the
    /// `io::Error` it was made from.
    pub fn of_libbpf(error: &libbpf_rs::Error) -> Option<Self> {
        let text = format!("{error:#}");
        let (_, number) = text.rsplit_once("(os error ")?;
        number.strip_suffix(')')?.parse().ok().map(Self)
    }

    /// The number behind an I/O error, if there is one.
    pub fn of_io(error: &io::Error) -> Option<Self> {
        error.raw_os_error().map(Self)
    }

    /// The number as `errno.h` knows it; [`Errno::UnknownErrno`] if it does not.
    pub fn known(self) -> Errno {
        Errno::from_raw(self.0)
    }
}

impl From<Errno> for KernelErrno {
    fn from(errno: Errno) -> Self {
        Self(errno as i32)
    }
}

impl fmt::Display for KernelErrno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.known()) {
            (ENOTSUPP, _) => f.write_str("ENOTSUPP"),
            (number, Errno::UnknownErrno) => write!(f, "errno {number}"),
            (_, errno) => write!(f, "{errno:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use libbpf_rs::ErrorExt as _;

    use super::*;

    #[test]
    fn the_number_survives_libbpf_and_any_context() {
        for number in (1..=133).chain([524]) {
            let plain = libbpf_rs::Error::from_raw_os_error(number);
            assert_eq!(
                KernelErrno::of_libbpf(&plain),
                Some(KernelErrno(number)),
                "{plain:#}"
            );
            let wrapped = plain
                .context("attach")
                .with_context(|| "a (os error 7)".to_owned());
            assert_eq!(KernelErrno::of_libbpf(&wrapped), Some(KernelErrno(number)));
        }
        let other = libbpf_rs::Error::from(io::Error::other("no number"));
        assert_eq!(KernelErrno::of_libbpf(&other), None);
    }

    #[test]
    fn every_number_has_a_name() {
        for (number, name) in [
            (1, "EPERM"),
            (95, "EOPNOTSUPP"),
            (524, "ENOTSUPP"),
            (999, "errno 999"),
        ] {
            assert_eq!(KernelErrno(number).to_string(), name);
        }
    }
}
