//! Route lookups, from stack and heap: what is searched for lies in both, what happens to lie beside
//! it does not. No IPv6 address or route is needed: a lookup that finds nothing is one as well.

use std::os::fd::AsRawFd as _;

use anyhow::Context as _;
use nix::sys::socket;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::SockaddrIn6;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt;

use super::address::bind_until_free;
use super::address::random_loopback;
use super::address::random_unique_local;
use super::options::Ipv6Freebind;
use super::pool::SocketKind;
use super::pool::SocketType;
use super::sampler::Sampler;
use super::sampler::Trigger;
use super::site::Site;
use crate::expected::Ends;
use crate::expected::route;
use crate::expected::socket::Family;
use crate::fields::Event;

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

    const fn socket_type(self) -> SocketType {
        match self {
            Self::Datagram | Self::DatagramConnect => SocketType::Datagram,
            Self::StreamConnect => SocketType::Stream,
        }
    }
}

/// Has a route looked up for an IPv4 flow; says whether it was seen.
///
/// # Errors
/// If no socket can be had.
pub fn lookup4(
    sampler: &mut Sampler<'_, '_>,
    site: &mut Site,
    cause: Cause,
) -> anyhow::Result<bool> {
    let kind = SocketKind {
        family: Family::Inet,
        socket_type: cause.socket_type(),
    };
    let mut sender = site.bound(kind, sampler.random)?;
    let (src, dst) = (sender.address(), random_loopback(sampler.random));
    let sender = std::cell::RefCell::new(&mut sender);
    sampler.take(Trigger {
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
    sampler: &mut Sampler<'_, '_>,
    site: &mut Site,
    cause: Cause,
) -> anyhow::Result<bool> {
    let kind = SocketKind {
        family: Family::Inet6,
        socket_type: cause.socket_type(),
    };
    let (mut src, dst) = (
        random_unique_local(sampler.random),
        random_unique_local(sampler.random),
    );
    let fd = site.socket(kind)?;
    setsockopt(&fd, Ipv6Freebind, &true).context("set IPV6_FREEBIND")?;
    bind_until_free(|| {
        src = random_unique_local(sampler.random);
        socket::bind(fd.as_raw_fd(), &SockaddrIn6::from(src))
    })?;
    let to = SockaddrIn6::from(dst);
    sampler.take(Trigger {
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
