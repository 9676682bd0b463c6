//! Sockets for a site. The thread that is in its namespace opens them, because a socket belongs to the
//! namespace in which it was opened, whoever uses it.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::socket;

use crate::expected::socket::Family;

/// The protocol of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocketType {
    /// UDP.
    Datagram,
    /// TCP.
    Stream,
}

impl SocketType {
    /// The kind of socket with this type and family.
    pub const fn of(self, family: Family) -> SocketKind {
        SocketKind {
            family,
            socket_type: self,
        }
    }
}

/// A kind of socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketKind {
    /// Its family.
    pub family: Family,
    /// Its protocol.
    pub socket_type: SocketType,
}

impl SocketKind {
    /// Opens several at once, because another thread has to do it. The first lot, opened while the programs
    /// load, usually suffices for the whole experiment.
    fn open_lot(self) -> nix::Result<Vec<OwnedFd>> {
        let family = match self.family {
            Family::Inet => AddressFamily::Inet,
            Family::Inet6 => AddressFamily::Inet6,
        };
        // A datagram socket may wait for room in its buffer, but connecting a stream must not take longer
        // than its caller is willing to wait.
        let (lot, socket_type, flags) = match self.socket_type {
            SocketType::Datagram => (16, SockType::Datagram, SockFlag::empty()),
            SocketType::Stream => (8, SockType::Stream, SockFlag::SOCK_NONBLOCK),
        };
        let flags = flags | SockFlag::SOCK_CLOEXEC;
        let sockets = (0..lot).map(|_| socket(family, socket_type, flags, None));
        sockets.collect()
    }
}

/// Open sockets by kind, and a channel to ask for more.
#[derive(Debug)]
pub struct Pool {
    open: HashMap<SocketKind, Vec<OwnedFd>>,
    ask: Sender<SocketKind>,
    opened: Receiver<nix::Result<Vec<OwnedFd>>>,
}

/// The part of a pool that stays in the namespace.
#[derive(Debug)]
pub struct Opener {
    asked: Receiver<SocketKind>,
    answer: Sender<nix::Result<Vec<OwnedFd>>>,
}

impl Pool {
    /// Opens a lot of each kind in the calling thread's namespace.
    ///
    /// # Errors
    /// If one cannot be opened. Without IPv6 in force, the pool has no IPv6 sockets, which is no error.
    pub fn open(kinds: &[SocketKind]) -> anyhow::Result<(Self, Opener)> {
        let mut open = HashMap::new();
        for kind in kinds {
            match kind.open_lot() {
                Ok(sockets) => {
                    open.insert(*kind, sockets);
                }
                Err(Errno::EAFNOSUPPORT) if kind.family == Family::Inet6 => {}
                Err(error) => return Err(error).context("open a socket"),
            }
        }
        let (ask, asked) = mpsc::channel();
        let (answer, opened) = mpsc::channel();
        let pool = Self { open, ask, opened };
        Ok((pool, Opener { asked, answer }))
    }

    /// A fresh socket.
    ///
    /// # Errors
    /// If none can be opened.
    pub fn take(&mut self, kind: SocketKind) -> anyhow::Result<OwnedFd> {
        let lot = self.open.entry(kind).or_default();
        if lot.is_empty() {
            let ended = "the thread in the namespace has ended";
            self.ask.send(kind).context(ended)?;
            let opened = self.opened.recv().context(ended)?;
            *lot = opened.context("open a socket")?;
        }
        lot.pop().context("no socket was opened")
    }

    /// Whether there are IPv6 sockets.
    pub fn has_inet6(&self) -> bool {
        let mut kinds = self.open.keys();
        kinds.any(|kind| kind.family == Family::Inet6)
    }
}

impl Opener {
    /// Opens sockets in the calling thread's namespace until the pool is gone.
    pub fn serve(self) {
        for kind in self.asked {
            if self.answer.send(kind.open_lot()).is_err() {
                break;
            }
        }
    }
}
