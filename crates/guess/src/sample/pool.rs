//! Sockets for a site, opened by the thread that is in its namespace: a socket belongs to the namespace
//! that it was opened in, whoever uses it.

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

/// What a socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocketType {
    /// UDP.
    Datagram,
    /// TCP.
    Stream,
}

/// A kind of socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketKind {
    /// Its family.
    pub family: Family,
    /// What it speaks.
    pub socket_type: SocketType,
}

impl SocketKind {
    /// Opened at once, since another thread has to do it. The first lot, opened while the programs load,
    /// mostly lasts for the whole experiment.
    const fn lot(self) -> usize {
        match self.socket_type {
            SocketType::Datagram => 16,
            SocketType::Stream => 8,
        }
    }

    fn open(self) -> nix::Result<OwnedFd> {
        let family = match self.family {
            Family::Inet => AddressFamily::Inet,
            Family::Inet6 => AddressFamily::Inet6,
        };
        // A datagram socket waits for room in its buffer; a stream's call must not last longer than its
        // caller waits.
        let (socket_type, flags) = match self.socket_type {
            SocketType::Datagram => (SockType::Datagram, SockFlag::empty()),
            SocketType::Stream => (SockType::Stream, SockFlag::SOCK_NONBLOCK),
        };
        socket(family, socket_type, flags | SockFlag::SOCK_CLOEXEC, None)
    }

    fn open_lot(self) -> nix::Result<Vec<OwnedFd>> {
        (0..self.lot()).map(|_| self.open()).collect()
    }
}

/// Open sockets by kind, and the way to more of them.
#[derive(Debug)]
pub struct Pool {
    open: HashMap<SocketKind, Vec<OwnedFd>>,
    wanted: Sender<SocketKind>,
    opened: Receiver<nix::Result<Vec<OwnedFd>>>,
}

/// The end of a pool that stays in the namespace.
#[derive(Debug)]
pub struct Opener {
    wanted: Receiver<SocketKind>,
    opened: Sender<nix::Result<Vec<OwnedFd>>>,
}

impl Pool {
    /// Opens a lot of each kind in the calling thread's namespace.
    ///
    /// # Errors
    /// If one cannot be opened. That IPv6 is not in force is no error: nobody will want one then.
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
        let (ask, wanted) = mpsc::channel();
        let (answer, opened) = mpsc::channel();
        let pool = Self {
            open,
            wanted: ask,
            opened,
        };
        let opener = Opener {
            wanted,
            opened: answer,
        };
        Ok((pool, opener))
    }

    /// A fresh socket.
    ///
    /// # Errors
    /// If none can be opened.
    pub fn take(&mut self, kind: SocketKind) -> anyhow::Result<OwnedFd> {
        let lot = self.open.entry(kind).or_default();
        if lot.is_empty() {
            let ended = "the thread in the namespace has ended";
            self.wanted.send(kind).context(ended)?;
            let opened = self.opened.recv().context(ended)?;
            *lot = opened.context("open a socket")?;
        }
        lot.pop().context("no socket is left")
    }

    /// Whether there are IPv6 sockets.
    #[must_use]
    pub fn has_inet6(&self) -> bool {
        let mut kinds = self.open.keys();
        kinds.any(|kind| kind.family == Family::Inet6)
    }
}

impl Opener {
    /// Opens sockets in the calling thread's namespace until the pool is gone.
    pub fn serve(self) {
        for kind in self.wanted {
            if self.opened.send(kind.open_lot()).is_err() {
                break;
            }
        }
    }
}
