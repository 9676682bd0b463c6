//! One netlink file descriptor and its receive buffer: the system calls, and nothing of what the
//! bytes mean. Accepts datagrams from the kernel only.

use std::io::IoSliceMut;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::NetlinkAddr;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockProtocol;
use nix::sys::socket::SockType;
use nix::sys::socket::bind;
use nix::sys::socket::recvmsg;
use nix::sys::socket::send;
use nix::sys::socket::setsockopt;
use nix::sys::socket::socket;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::time::TimeVal;

use crate::Error;
use crate::option::CapAck;
use crate::option::ExtAck;
use crate::option::StrictCheck;

/// The largest datagram that `netlink_dump` builds (`net/netlink/af_netlink.c`), except for links with
/// hundreds of virtual functions.
const BUFFER_BYTES: usize = 32 * 1024;
/// The kernel queues an answer before `send` returns, so only a lost answer is waited for so long.
const ANSWER_TIMEOUT_S: i64 = 1;

/// Which part of the kernel a socket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `NETLINK_ROUTE`: links, addresses, routes, rules, neighbours.
    Route,
    /// `NETLINK_NETFILTER`: nf_tables and connection tracking. Opening one makes a kernel that can
    /// load modules load `nfnetlink` (alias `net-pf-16-proto-12`): check first whether it would.
    Netfilter,
}

/// What one receive returned.
pub(crate) enum Read {
    /// Nothing is queued.
    Nothing,
    /// `ENOBUFS`.
    Overrun,
    /// A datagram of that many bytes was cut. The next one of this length will fit.
    Cut(usize),
    /// That many bytes at the start of the buffer are a datagram from the kernel.
    Datagram(usize),
}

/// A bound netlink socket.
#[derive(Debug)]
pub(crate) struct Endpoint {
    fd: OwnedFd,
    pub(crate) buffer: Vec<u8>,
}

impl Endpoint {
    pub(crate) fn open(protocol: Protocol) -> Result<Self, Error> {
        let (name, number) = match protocol {
            Protocol::Route => ("socket(NETLINK_ROUTE)", SockProtocol::NetlinkRoute),
            Protocol::Netfilter => ("socket(NETLINK_NETFILTER)", SockProtocol::NetlinkNetFilter),
        };
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            number,
        )
        .map_err(Error::call(name))?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(Error::call("bind(AF_NETLINK)"))?;
        setsockopt(&fd, ReceiveTimeout, &TimeVal::new(ANSWER_TIMEOUT_S, 0))
            .map_err(Error::call("setsockopt(SO_RCVTIMEO)"))?;
        // A kernel older than an option refuses it and behaves as if it were off, which every
        // reader here can deal with.
        let _ = setsockopt(&fd, CapAck, &true);
        let _ = setsockopt(&fd, ExtAck, &true);
        let _ = setsockopt(&fd, StrictCheck, &true);
        Ok(Self {
            fd,
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        send(self.fd.as_raw_fd(), bytes, MsgFlags::empty())
            .map(drop)
            .map_err(Error::call("send(AF_NETLINK)"))
    }

    /// Takes the next datagram; waits for it only if `flags` lack `MSG_DONTWAIT`.
    pub(crate) fn read(&mut self, flags: MsgFlags) -> Result<Read, Error> {
        loop {
            let mut parts = [IoSliceMut::new(&mut self.buffer)];
            let flags = flags | MsgFlags::MSG_TRUNC;
            let (bytes, from) =
                match recvmsg::<NetlinkAddr>(self.fd.as_raw_fd(), &mut parts, None, flags) {
                    Ok(got) => (got.bytes, got.address),
                    Err(Errno::EINTR) => continue,
                    Err(Errno::EAGAIN) => return Ok(Read::Nothing),
                    Err(Errno::ENOBUFS) => return Ok(Read::Overrun),
                    Err(errno) => return Err(Error::call("recvmsg(AF_NETLINK)")(errno)),
                };
            // Any process with CAP_NET_ADMIN can write to this socket; only port 0 is the kernel.
            if from.is_none_or(|from| from.pid() != 0) {
                continue;
            }
            if bytes > self.buffer.len() {
                self.buffer.resize(bytes.next_power_of_two(), 0);
                return Ok(Read::Cut(bytes));
            }
            return Ok(Read::Datagram(bytes));
        }
    }
}

impl AsFd for Endpoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
