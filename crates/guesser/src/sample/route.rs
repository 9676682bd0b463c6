//! Route lookups, from stack and heap: what is searched for lies in both, what happens to lie beside
//! it does not. No IPv6 address or route is needed: a lookup that finds nothing is one as well.

use std::net::Ipv6Addr;
use std::net::SocketAddrV6;
use std::os::fd::AsRawFd as _;

use anyhow::Context as _;
use nix::sys::socket;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::SockaddrIn6;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt;

use super::camera::Act;
use super::camera::Camera;
use super::ground::Ground;
use super::options::Ipv6Freebind;
use super::socket::Kind;
use super::socket::Manner;
use super::socket::Socket;
use super::socket::somewhere;
use super::socket::until_free;
use crate::expected::Ends;
use crate::expected::route;
use crate::expected::socket::Family;
use crate::fields::Event;
use crate::random::Random;

/// What makes the kernel look for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A datagram of a socket that is not connected.
    Datagram,
    /// Connecting a datagram socket.
    DatagramConnect,
    /// Connecting a stream.
    StreamConnect,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Datagram, Self::DatagramConnect, Self::StreamConnect];

    const fn manner(self) -> Manner {
        match self {
            Self::Datagram | Self::DatagramConnect => Manner::Datagrams,
            Self::StreamConnect => Manner::Stream,
        }
    }
}

/// Has a route looked up for an IPv4 flow; says whether it was seen.
///
/// # Errors
/// If no socket can be had.
pub fn lookup4(
    camera: &mut Camera<'_, '_>,
    ground: &mut Ground,
    cause: Cause,
) -> anyhow::Result<bool> {
    let kind = Kind {
        family: Family::Inet,
        manner: cause.manner(),
    };
    let mut sender = Socket::bound(ground, kind, camera.random)?;
    let (src, dst) = (sender.address(), somewhere(camera.random));
    let sender = std::cell::RefCell::new(&mut sender);
    camera.take(Act {
        name: format!("IPv4 route, {cause:?}"),
        event: Event::Route4,
        unknown: &[],
        repeats: true,
        prepare: &mut |mark| sender.borrow().mark(mark),
        perform: &mut || {
            // Nobody is there, which only matters behind the lookup.
            let _ = match cause {
                Cause::Datagram => sender.borrow().send(b"?", Some(dst)),
                _ => sender.borrow_mut().connect(dst),
            };
            Ok(())
        },
        expect: &mut |_| Some(route::expected4(Ends { src, dst })),
    })
}

/// Has a route looked up for an IPv6 flow between addresses that do not exist; says whether it was
/// seen.
///
/// # Errors
/// If no socket can be had.
pub fn lookup6(
    camera: &mut Camera<'_, '_>,
    ground: &mut Ground,
    cause: Cause,
) -> anyhow::Result<bool> {
    let kind = Kind {
        family: Family::Inet6,
        manner: cause.manner(),
    };
    let (mut src, dst) = (nowhere(camera.random), nowhere(camera.random));
    let fd = ground.socket(kind)?;
    setsockopt(&fd, Ipv6Freebind, &true).context("set IPV6_FREEBIND")?;
    until_free(|| {
        src = nowhere(camera.random);
        socket::bind(fd.as_raw_fd(), &SockaddrIn6::from(src))
    })?;
    let to = SockaddrIn6::from(dst);
    camera.take(Act {
        name: format!("IPv6 route, {cause:?}"),
        event: Event::Route6,
        unknown: &[],
        repeats: true,
        prepare: &mut |mark| {
            setsockopt(&fd, sockopt::Mark, &mark).context("set SO_MARK")?;
            Ok(mark)
        },
        perform: &mut || {
            let fd = fd.as_raw_fd();
            // There is no route.
            let _ = match cause {
                Cause::Datagram => socket::sendto(fd, b"?", &to, MsgFlags::empty()).map(|_| ()),
                _ => socket::connect(fd, &to),
            };
            Ok(())
        },
        expect: &mut |_| Some(route::expected6(src, dst)),
    })
}

/// An address of fd00::/8 and a port.
fn nowhere(random: &mut Random) -> SocketAddrV6 {
    let low = u128::from(random.number()) | u128::from(random.number() >> 8) << 64;
    let port = random.between(1024, 1 << 16) as u16;
    SocketAddrV6::new(Ipv6Addr::from(0xfd << 120 | low), port, 0, 0)
}
