//! UDP sockets in states that set some copies of an address and leave others: bound, connected,
//! connected no more, and bound to a group. No peer answers.

use std::net::Ipv4Addr;
use std::net::SocketAddrV4;

use anyhow::Context as _;

use super::address::random_group;
use super::pool::SocketKind;
use super::pool::SocketType;
use super::sampler::Sampler;
use super::sampler::Trigger;
use super::site::Site;
use super::socket::Socket;
use crate::expected::Ends;
use crate::expected::packet;
use crate::expected::socket;
use crate::expected::socket::Family;
use crate::fields::Event;

/// A state that a socket is brought to before it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Bound, and no more: no copy is made for a route.
    Bound,
    /// Connected.
    Connected,
    /// Connected, then not any more: the copies stay.
    Disconnected,
    /// Bound to a multicast group, so that it receives for another address than it sends from.
    Multicast,
}

/// What a socket sends from that is bound to a group: the preferred address of the local route.
const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Sends a packet from a socket in a state; says whether it was seen.
///
/// # Errors
/// If it cannot be sent.
pub fn send(
    sampler: &mut Sampler<'_, '_>,
    site: &mut Site,
    family: Family,
    state: State,
) -> anyhow::Result<bool> {
    let kind = SocketKind {
        // A group of mapped addresses cannot be bound to.
        family: if state == State::Multicast {
            Family::Inet
        } else {
            family
        },
        socket_type: SocketType::Datagram,
    };
    let to = site.sink(sampler.random)?;
    let mut sender = match state {
        State::Multicast => {
            let at = random_group(sampler.random);
            site.bound_at(kind, at, sampler.random)?
        }
        _ => site.bound(kind, sampler.random)?,
    };
    if sampler.random.u32(0..2) == 0 {
        sender.leave_checksums();
    }
    sender.draw_options(sampler.random);
    let target = enter(&mut sender, state, to).with_context(|| format!("bring to {state:?}"))?;
    let is_drawn = state != State::Multicast && site.has_inet6();
    let searches = site.may_track();
    let wire = Ends {
        src: SocketAddrV4::new(sender.facts.sends, sender.facts.port),
        dst: to,
    };
    let seen = sampler.take(Trigger {
        name: format!("{family:?} datagram, {state:?}"),
        event: Event::Packet,
        unknown: packet::MAY_BE_TRACKED,
        repeats: true,
        prepare: &mut |mark| sender.mark(mark),
        perform: &mut || sender.send(b"?", target).context("send a datagram"),
        expect: &mut |_| {
            let mut all = socket::expected(&sender.facts, is_drawn);
            all.extend(packet::expected(wire, sender.option_words()));
            if !searches {
                all.push(packet::untracked());
            }
            Some(all)
        },
    })?;
    site.keep(sender.fd);
    Ok(seen)
}

/// Brings a socket to a state; returns where to send explicitly, if it has to be told.
fn enter(sender: &mut Socket, state: State, to: SocketAddrV4) -> nix::Result<Option<SocketAddrV4>> {
    match state {
        State::Bound => return Ok(Some(to)),
        State::Connected => sender.connect(to)?,
        State::Disconnected => {
            sender.connect(to)?;
            sender.disconnect()?;
            return Ok(Some(to));
        }
        State::Multicast => {
            sender.connect(to)?;
            sender.facts.sends = LOOPBACK;
        }
    }
    Ok(None)
}
