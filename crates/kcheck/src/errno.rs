//! The kernel's error numbers by their symbolic names, and how to get one out of each kind of error. Pure.

use std::fmt;
use std::io;

use nix::errno::Errno;
use serde::Serialize;
use serde::Serializer;

/// `ENOTSUPP` of the kernel's internal `linux/errno.h`. bpf(2) returns it, though it is not meant for
/// user space and the C library has no name for it.
const ENOTSUPP: i32 = 524;

/// An error number of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelErrno(i32);

impl KernelErrno {
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

impl Serialize for KernelErrno {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An error that may carry the kernel's number.
pub trait HasErrno {
    /// The number behind the error, if there is one.
    fn kernel_errno(&self) -> Option<KernelErrno>;
}

/// libbpf-rs keeps the number out of reach of any downcast, but its text ends in that of the
/// `io::Error` that it was made from.
impl HasErrno for libbpf_rs::Error {
    fn kernel_errno(&self) -> Option<KernelErrno> {
        let text = format!("{self:#}");
        let (_, number) = text.rsplit_once("(os error ")?;
        number.strip_suffix(')')?.parse().ok().map(KernelErrno)
    }
}

impl HasErrno for io::Error {
    fn kernel_errno(&self) -> Option<KernelErrno> {
        self.raw_os_error().map(KernelErrno)
    }
}

impl HasErrno for lab::nft::Error {
    fn kernel_errno(&self) -> Option<KernelErrno> {
        self.errno().map(Into::into)
    }
}

impl HasErrno for netlink::Error {
    fn kernel_errno(&self) -> Option<KernelErrno> {
        self.errno().map(Into::into)
    }
}

impl HasErrno for Errno {
    fn kernel_errno(&self) -> Option<KernelErrno> {
        Some((*self).into())
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
            assert_eq!(plain.kernel_errno(), Some(KernelErrno(number)), "{plain:#}");
            let wrapped = plain
                .context("attach")
                .with_context(|| "a (os error 7)".to_owned());
            assert_eq!(wrapped.kernel_errno(), Some(KernelErrno(number)));
        }
        let other = libbpf_rs::Error::from(io::Error::other("no number"));
        assert_eq!(other.kernel_errno(), None);
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
