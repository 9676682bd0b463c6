//! UDP sockets in states that set some copies of an address and leave others unchanged: bound, connected,
//! disconnected again, and bound to a group. No peer answers.

use std::net::Ipv4Addr;
use std::net::SocketAddrV4;

use anyhow::Context as _;
use rustix::io;

use super::address::random_group;
use super::pool::SocketType;
use super::sampler::Sampler;
use super::sampler::Trigger;
use super::site::Site;
use super::socket::Socket;
use crate::expected::Ends;
use crate::expected::packet;
use crate::expected::socket;
use crate::expected::socket::Family;

/// The state of a socket when it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Only bound: no copy is made for a route.
    Bound,
    /// Connected.
    Connected,
    /// Connected, then disconnected: the copies stay.
    Disconnected,
    /// Bound to a multicast group, so that it receives at another address than it sends from.
    Multicast,
}

/// Sends a packet from a socket in a state, and returns whether the packet was seen.
///
/// # Errors
/// If the packet cannot be sent.
pub fn send(
    sampler: &mut Sampler<'_, '_>,
    site: &mut Site,
    family: Family,
    state: State,
) -> anyhow::Result<bool> {
    let to = site.sink(sampler.random)?;
    let is_multicast = state == State::Multicast;
    let mut sender = if is_multicast {
        // A mapped address of a group cannot be bound to.
        let kind = SocketType::Datagram.of(Family::Inet);
        let at = random_group(sampler.random);
        site.bound_at(kind, at, sampler.random)?
    } else {
        site.bound(SocketType::Datagram.of(family), sampler.random)?
    };
    if sampler.random.bool() {
        sender.omit_checksums();
    }
    sender.draw_options(sampler.random);
    let target = enter(&mut sender, state, to).with_context(|| format!("bring to {state:?}"))?;
    let is_drawn = !is_multicast && site.has_inet6();
    let may_be_tracked = site.may_track();
    let wire = Ends {
        src: sender.facts.address(),
        dst: to,
    };
    let name = format!("{family:?} datagram, {state:?}");
    let trigger = Trigger {
        unknown: packet::MAY_BE_TRACKED,
        ..Trigger::packet(name, &sender.fd)
    };
    let transmit = || sender.send(b"?", target).context("send a datagram");
    let is_seen = sampler.take(trigger, transmit, |_, ()| {
        let mut all = socket::expected(&sender.facts, is_drawn);
        all.extend(packet::expected(wire, sender.option_words));
        if !may_be_tracked {
            all.push(packet::untracked());
        }
        Some(all)
    })?;
    site.keep(sender.fd);
    Ok(is_seen)
}

/// Brings a socket to a state, and returns the destination if each datagram must name it.
fn enter(sender: &mut Socket, state: State, to: SocketAddrV4) -> io::Result<Option<SocketAddrV4>> {
    if state == State::Bound {
        return Ok(Some(to));
    }
    sender.connect(to)?;
    match state {
        State::Disconnected => {
            sender.disconnect()?;
            return Ok(Some(to));
        }
        // It sends from the preferred address of the local route.
        State::Multicast => sender.facts.sends = Ipv4Addr::LOCALHOST,
        State::Bound | State::Connected => {}
    }
    Ok(None)
}
