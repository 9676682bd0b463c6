//! What can go wrong on a netlink socket. Each kind is a variant because callers act on it.

use nix::errno::Errno;

use crate::Malformed;
use crate::Refusal;

/// A failed exchange with the kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A system call on the socket failed; the kernel has not looked at the request.
    #[error("{call}: {errno}")]
    Call {
        /// The call as a person would name it: `socket(NETLINK_ROUTE)`.
        call: &'static str,
        /// Why.
        errno: Errno,
    },
    /// The kernel read the request and refused it.
    #[error("{0}")]
    Refused(Refusal),
    /// `ENOBUFS`: the socket's receive buffer was full and at least one message is lost.
    #[error("netlink messages were lost: the receive buffer was full (ENOBUFS)")]
    Overrun,
    /// A datagram was longer than the buffer, and the rest of it is lost. The buffer has been
    /// enlarged, so the same request can be tried again.
    #[error("a netlink datagram of {bytes} bytes was cut by a shorter buffer")]
    Truncated {
        /// Length of the whole datagram.
        bytes: usize,
    },
    /// The kernel read the request and did not answer.
    #[error("no answer from the kernel")]
    Unanswered,
    /// The message breaks netlink's own rules.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Error {
    /// Makes the error of a failed system call.
    pub(crate) fn call(call: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::Call { call, errno }
    }

    /// The error number behind this error, if there is one.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Call { errno, .. } => Some(*errno),
            Self::Refused(refusal) => Some(refusal.errno),
            Self::Overrun => Some(Errno::ENOBUFS),
            Self::Truncated { .. } | Self::Unanswered | Self::Malformed(_) => None,
        }
    }
}
