//! Sockets for a ground, opened by the thread that is in its namespace: a socket belongs to where it was
//! opened, whoever uses it.

use std::os::fd::OwnedFd;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;

use nix::sys::socket::AddressFamily;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::socket;

use super::socket::Kind;
use super::socket::Manner;
use crate::expected::socket::Family;

/// Sockets that are opened at once, since another thread has to do it. The first lot, opened while the
/// programs load, mostly lasts for the whole experiment.
const fn lot(kind: Kind) -> usize {
    match kind.manner {
        Manner::Datagrams => 16,
        Manner::Stream => 8,
    }
}

/// Opens sockets until nobody wants any.
pub fn serve(wanted: &Receiver<Kind>, opened: &Sender<nix::Result<Vec<OwnedFd>>>) {
    for kind in wanted {
        if opened.send(open_some(kind)).is_err() {
            break;
        }
    }
}

/// Opens a lot.
///
/// # Errors
/// If one cannot be opened.
pub fn open_some(kind: Kind) -> nix::Result<Vec<OwnedFd>> {
    (0..lot(kind)).map(|_| open(kind)).collect()
}

fn open(kind: Kind) -> nix::Result<OwnedFd> {
    let family = match kind.family {
        Family::Inet => AddressFamily::Inet,
        Family::Inet6 => AddressFamily::Inet6,
    };
    let manner = match kind.manner {
        Manner::Datagrams => SockType::Datagram,
        Manner::Stream => SockType::Stream,
    };
    // Who sends datagrams waits for room; a stream's call must not last longer than it is waited for.
    let flags = match kind.manner {
        Manner::Datagrams => SockFlag::SOCK_CLOEXEC,
        Manner::Stream => SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
    };
    socket(family, manner, flags, None)
}
