//! One netlink file descriptor and its receive buffer: the system calls, and nothing of what the
//! bytes mean. Accepts datagrams from the kernel only.

use std::io::IoSliceMut;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::NetlinkAddr;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockProtocol;
use nix::sys::socket::SockType;
use nix::sys::socket::bind;
use nix::sys::socket::recv;
use nix::sys::socket::recvmsg;
use nix::sys::socket::send;
use nix::sys::socket::setsockopt;
use nix::sys::socket::socket;

use crate::Error;
use crate::option::CapAck;
use crate::option::ExtAck;
use crate::option::StrictCheck;

/// The largest datagram that the kernel builds for a dump of its own accord (`netlink_dump` in
/// `net/netlink/af_netlink.c`).
const BUFFER_BYTES: usize = 32 * 1024;

/// Which part of the kernel a socket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `NETLINK_ROUTE`: links, addresses, routes, rules, neighbours.
    Route,
    /// `NETLINK_NETFILTER`: nf_tables and connection tracking. Opening one makes a kernel that
    /// can load modules load `nfnetlink` (alias `net-pf-16-proto-12`): ask
    /// [`modules`](crate::modules) first.
    Netfilter,
}

/// What one attempt to receive brought.
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
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, number)
            .map_err(|errno| Error::Call { call: name, errno })?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(|errno| Error::Call {
            call: "bind(AF_NETLINK)",
            errno,
        })?;
        // Kernels older than an option refuse it and then behave as if it were off, which every
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
            .map_err(|errno| Error::Call {
                call: "send(AF_NETLINK)",
                errno,
            })
    }

    /// Takes the next datagram without waiting.
    pub(crate) fn read(&mut self) -> Result<Read, Error> {
        loop {
            let mut parts = [IoSliceMut::new(&mut self.buffer)];
            let flags = MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
            let (bytes, from) =
                match recvmsg::<NetlinkAddr>(self.fd.as_raw_fd(), &mut parts, None, flags) {
                    Ok(got) => (got.bytes, got.address),
                    Err(Errno::EINTR) => continue,
                    Err(errno) => return without_datagram(errno),
                };
            // Any process with CAP_NET_ADMIN may write to this socket; only port 0 is the kernel.
            if from.is_none_or(|from| from.pid() != 0) {
                continue;
            }
            if bytes > self.buffer.len() {
                self.make_room(bytes);
                return Ok(Read::Cut(bytes));
            }
            return Ok(Read::Datagram(bytes));
        }
    }

    /// Like `read`, but first makes the buffer long enough, at the price of a second call.
    pub(crate) fn read_whole(&mut self) -> Result<Read, Error> {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
        match recv(self.fd.as_raw_fd(), &mut [], flags) {
            Ok(bytes) => self.make_room(bytes),
            Err(Errno::EINTR) => {}
            // A peek takes the pending error with it, so it must be told here.
            Err(errno) => return without_datagram(errno),
        }
        self.read()
    }

    fn make_room(&mut self, bytes: usize) {
        if bytes > self.buffer.len() {
            self.buffer.resize(bytes.next_power_of_two(), 0);
        }
    }

    /// Waits until something is queued; `false` if nothing came in `timeout_ms`.
    pub(crate) fn wait(&self, timeout_ms: u16) -> Result<bool, Error> {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut fds, PollTimeout::from(timeout_ms)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    return Err(Error::Call {
                        call: "poll(AF_NETLINK)",
                        errno,
                    });
                }
            }
        }
    }
}

impl AsFd for Endpoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn without_datagram(errno: Errno) -> Result<Read, Error> {
    match errno {
        Errno::EAGAIN => Ok(Read::Nothing),
        Errno::ENOBUFS => Ok(Read::Overrun),
        errno => Err(Error::Call {
            call: "recvmsg(AF_NETLINK)",
            errno,
        }),
    }
}
