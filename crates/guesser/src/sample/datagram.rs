//! UDP sockets in states that set some copies of an address and leave others: bound, connected,
//! connected no more, and bound to a group. No peer answers.

use std::net::Ipv4Addr;
use std::net::SocketAddrV4;

use anyhow::Context as _;

use super::camera::Act;
use super::camera::Camera;
use super::ground::Ground;
use super::socket::Kind;
use super::socket::Manner;
use super::socket::Socket;
use super::socket::somewhere;
use crate::expected::Ends;
use crate::expected::packet;
use crate::expected::socket;
use crate::expected::socket::Family;
use crate::fields::Event;
use crate::random::Random;

/// A state that a socket is brought to before it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Bound, and no more: no copy is made for a route.
    Bound,
    /// Connected.
    Connected,
    /// Connected, then not any more: the copies stay.
    Dissolved,
    /// Bound to a multicast group, so that it receives for another address than it sends from.
    Group,
}

/// What a socket sends from that is bound to a group: the preferred address of the local route.
const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Sends a packet from a socket in a state; says whether it was seen.
///
/// # Errors
/// If it cannot be sent.
pub fn packet(
    camera: &mut Camera<'_, '_>,
    ground: &mut Ground,
    family: Family,
    state: State,
) -> anyhow::Result<bool> {
    let kind = Kind {
        // A group of mapped addresses cannot be bound to.
        family: if state == State::Group {
            Family::Inet
        } else {
            family
        },
        manner: Manner::Datagrams,
    };
    let to = ground.sink(camera.random)?;
    let mut sender = match state {
        State::Group => {
            let at = some_group(camera.random);
            Socket::bound_at(ground, kind, at, camera.random)?
        }
        _ => Socket::bound(ground, kind, camera.random)?,
    };
    if camera.random.between(0, 2) == 0 {
        sender.leave_checksums();
    }
    sender.draw_options(camera.random);
    let target = enter(&mut sender, state, to).with_context(|| format!("bring to {state:?}"))?;
    let is_drawn = state != State::Group && ground.has_inet6();
    let tracks = ground.may_track();
    let wire = Ends {
        src: SocketAddrV4::new(sender.facts.sends, sender.facts.port),
        dst: to,
    };
    let seen = camera.take(Act {
        name: format!("{family:?} datagram, {state:?}"),
        event: Event::Packet,
        unknown: packet::UNTRACKED,
        repeats: true,
        prepare: &mut |mark| sender.mark(mark),
        perform: &mut || sender.send(b"?", target).context("send a datagram"),
        expect: &mut |_| {
            let mut all = socket::expected(&sender.facts, is_drawn);
            all.extend(packet::expected(wire, sender.option_words()));
            if !tracks {
                all.push(packet::untracked());
            }
            Some(all)
        },
    })?;
    ground.keep(sender.fd);
    Ok(seen)
}

/// Brings a socket to a state; returns where to send explicitly, if it has to be told.
fn enter(sender: &mut Socket, state: State, to: SocketAddrV4) -> nix::Result<Option<SocketAddrV4>> {
    match state {
        State::Bound => return Ok(Some(to)),
        State::Connected => sender.connect(to)?,
        State::Dissolved => {
            sender.connect(to)?;
            sender.dissolve()?;
            return Ok(Some(to));
        }
        State::Group => {
            sender.connect(to)?;
            sender.facts.sends = LOOPBACK;
        }
    }
    Ok(None)
}

/// A group that only we have in mind, and a port.
fn some_group(random: &mut Random) -> SocketAddrV4 {
    // 239.0.0.0/8 is for private use.
    let group = Ipv4Addr::from(239 << 24 | random.between(1, 1 << 24));
    SocketAddrV4::new(group, somewhere(random).port())
}
