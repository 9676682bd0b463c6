//! Route lookups. Some have their flow on the stack and some on the heap: the fields of the flow are in
//! both, whatever happens to be next to it is not. IPv6 needs no address and no route, because a lookup
//! without result is a lookup, too.

use std::net::SocketAddr;

use anyhow::Context as _;
use fastrand::Rng;
use rustix::net;
use rustix::net::SendFlags;
use rustix::net::sockopt;

use super::address::bind_until_free;
use super::address::random_loopback;
use super::address::random_unique_local;
use super::pool::SocketType;
use super::sampler::Sampler;
use super::sampler::Trigger;
use super::site::Site;
use crate::expected::route;
use crate::expected::socket::Family;
use crate::fields::Event;

/// What makes the kernel look up a route.
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
}

/// Makes the kernel look up a route, and returns whether the lookup was seen. A site without IPv6 sockets
/// misses nothing of an IPv6 lookup.
///
/// # Errors
/// If no socket can be had.
pub fn lookup(
    sampler: &mut Sampler<'_, '_>,
    site: &mut Site,
    event: Event,
    cause: Cause,
) -> anyhow::Result<bool> {
    let is_ipv6 = event == Event::Route6;
    if is_ipv6 && !site.has_inet6() {
        return Ok(true);
    }
    let socket_type = match cause {
        Cause::Datagram | Cause::DatagramConnect => SocketType::Datagram,
        Cause::StreamConnect => SocketType::Stream,
    };
    let family = if is_ipv6 { Family::Inet6 } else { Family::Inet };
    let fd = site.socket(socket_type.of(family))?;
    if is_ipv6 {
        sockopt::set_ipv6_freebind(&fd, true).context("set IPV6_FREEBIND")?;
    }
    let draw = |random: &mut Rng| match family {
        Family::Inet => SocketAddr::from(random_loopback(random)),
        Family::Inet6 => random_unique_local(random).into(),
    };
    let src = bind_until_free(|| {
        let at = draw(sampler.random);
        net::bind(&fd, &at).map(|()| at)
    })?;
    let dst = draw(sampler.random);
    let trigger = Trigger {
        event,
        ..Trigger::packet(format!("{event:?}, {cause:?}"), &fd)
    };
    let look_up = || {
        // No receiver is there, and no IPv6 route, which matters only after the lookup.
        let _ = match cause {
            Cause::Datagram => net::sendto(&fd, b"?", SendFlags::empty(), &dst).map(|_| ()),
            _ => net::connect(&fd, &dst),
        };
        Ok(())
    };
    sampler.take(trigger, look_up, |_, ()| route::expected(src, dst))
}
