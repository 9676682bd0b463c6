//! A netlink socket that only receives events. It never blocks: poll its descriptor, then receive
//! until nothing is queued.

use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use nix::sys::socket::MsgFlags;
use nix::sys::socket::getsockopt;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt;

use crate::Error;
use crate::Messages;
use crate::Protocol;
use crate::endpoint::Endpoint;
use crate::endpoint::Read;
use crate::option::Membership;

/// A subscription to the kernel's events, for one thread.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
}

/// What one receive returned.
#[derive(Debug)]
#[must_use]
pub enum Received<'a> {
    /// Nothing is queued.
    Nothing,
    /// Events were lost since the last receive; the kernel does not say how many. A caller that
    /// keeps state by these events has to dump it again. Later events still arrive.
    Lost,
    /// The events of one datagram, valid until the next receive.
    Messages(Messages<'a>),
}

impl Listener {
    /// Opens a listener in the calling thread's network namespace. It receives nothing before it
    /// has [joined](Self::join) a group.
    ///
    /// # Errors
    /// If the kernel has no such protocol, or no file descriptor is left.
    pub fn open(protocol: Protocol) -> Result<Self, Error> {
        Endpoint::open(protocol).map(|endpoint| Self { endpoint })
    }

    /// Asks for a receive buffer of `bytes` and returns the size that the kernel granted: twice
    /// as much (it counts its own bookkeeping), or less without `CAP_NET_ADMIN`, where
    /// `net.core.rmem_max` is the limit.
    ///
    /// # Errors
    /// If the kernel refuses the option.
    pub fn set_receive_buffer(&self, bytes: usize) -> Result<usize, Error> {
        let failed = || Error::call("setsockopt(SO_RCVBUF)");
        if setsockopt(&self.endpoint, sockopt::RcvBufForce, &bytes).is_err() {
            setsockopt(&self.endpoint, sockopt::RcvBuf, &bytes).map_err(failed())?;
        }
        getsockopt(&self.endpoint, sockopt::RcvBuf).map_err(failed())
    }

    /// Joins the group of this number (`RTNLGRP_*`, `NFNLGRP_*`). Joining a conntrack group makes
    /// a kernel that can load modules load `nf_conntrack_netlink`.
    ///
    /// # Errors
    /// If the protocol has no such group, or joining it needs a privilege.
    pub fn join(&self, group: u32) -> Result<(), Error> {
        setsockopt(&self.endpoint, Membership, &group)
            .map_err(Error::call("setsockopt(NETLINK_ADD_MEMBERSHIP)"))
    }

    /// Takes the next datagram, without waiting and without allocating.
    ///
    /// # Errors
    /// If the socket itself fails; lost events are [`Received::Lost`], not an error.
    pub fn receive(&mut self) -> Result<Received<'_>, Error> {
        Ok(match self.endpoint.read(MsgFlags::MSG_DONTWAIT)? {
            Read::Nothing => Received::Nothing,
            Read::Overrun | Read::Cut(_) => Received::Lost,
            Read::Datagram(bytes) => {
                Received::Messages(Messages::new(&self.endpoint.buffer[..bytes]))
            }
        })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.endpoint.as_fd()
    }
}
