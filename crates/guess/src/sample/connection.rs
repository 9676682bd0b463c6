//! A tracked UDP connection over loopback with two sockets of its own. Its addresses, ports and zone
//! are random; it asks for its NAT itself, in its first packet.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use lab::iptables::PacketMark;
use lab::nft::NatRequest;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt;

use super::address::random_loopback;
use super::borrowed;
use super::pool::SocketKind;
use super::pool::SocketType;
use super::sampler::Sampler;
use super::sampler::Trigger;
use super::site::Site;
use super::socket::Socket;
use super::tracking::Switch;
use super::tracking::Tracking;
use crate::expected::Ends;
use crate::expected::connection;
use crate::expected::connection::Facts;
use crate::expected::connection::Nat;
use crate::expected::connection::Packet;
use crate::expected::connection::Turn;
use crate::expected::packet;
use crate::expected::socket;
use crate::fields::Event;
use fastrand::Rng;

/// A connection two seconds old may get a status bit more (`IPS_ASSURED`).
const SHELF_LIFE: Duration = Duration::from_secs(1);
/// Twenty bits of seconds; times the fastest clock they are still less than 2^31 jiffies.
const TIMEOUTS_S: std::ops::Range<u32> = 1000..1_000_000;

/// A connection that we make.
#[derive(Debug)]
struct Flow {
    facts: Facts,
    /// What its packets carry.
    payload: Vec<u8>,
    /// By the legacy interface: the mark of all its packets, and the one that it gets from them.
    marks: Option<(u32, u32)>,
    client: Socket,
    server: Socket,
    /// Whether their families were drawn from several.
    draws_family: bool,
    opened: Instant,
}

/// Sends the packets of a connection, as long as they are seen.
///
/// # Errors
/// If it cannot be made.
pub fn send(sampler: &mut Sampler<'_, '_>, site: &mut Site, nat: Nat) -> anyhow::Result<()> {
    let Some(mut tracking) = site.take_tracking() else {
        return Ok(());
    };
    let sent = match &mut tracking.switch {
        Switch::Borrowed(borrowed) => borrowed::connection(sampler, site, borrowed),
        _ => three_packets(sampler, site, &mut tracking, nat),
    };
    site.put_tracking(tracking);
    sent
}

fn three_packets(
    sampler: &mut Sampler<'_, '_>,
    site: &mut Site,
    tracking: &mut Tracking,
    nat: Nat,
) -> anyhow::Result<()> {
    let flow = Flow::open(site, tracking, nat, sampler.random)?;
    for turn in [Turn::First, Turn::Reply, Turn::Later] {
        if !flow.send(sampler, tracking, turn)? {
            break;
        }
    }
    site.keep(flow.client.fd);
    site.keep(flow.server.fd);
    Ok(())
}

impl Flow {
    /// Binds two sockets on the ground; nothing is sent yet. Without NAT there, the flow is plain.
    fn open(
        site: &mut Site,
        tracking: &mut Tracking,
        nat: Nat,
        random: &mut Rng,
    ) -> anyhow::Result<Self> {
        let can = tracking.can;
        let [caller, callee, dialled, shown] = [(); 4].map(|()| random_loopback(random));
        let zone = random.u32(1..1 << 16) as u16;
        // What the legacy interface rewrites to was told to it in advance.
        let prepared = match &mut tracking.switch {
            Switch::Legacy(legacy) => Some((legacy.next_ends(), legacy.rules.clone())),
            _ => None,
        };
        let ends = prepared.as_ref().and_then(|(ends, _)| *ends);
        let granted =
            |asked: bool| asked && can.nat == Some(true) && (prepared.is_none() || ends.is_some());
        let nat = Nat {
            dnat: granted(nat.dnat),
            snat: granted(nat.snat),
        };
        let callee = ends.filter(|_| nat.dnat).map_or(callee, |(_, to, _)| to);
        let shown = ends.map_or(shown, |(_, _, from)| from);
        let dialled = if nat.dnat { dialled } else { callee };
        let shown = if nat.snat { shown } else { caller };
        let marks = prepared.map(|(_, rules)| {
            let index = ends.map(|(index, _, _)| index);
            let choice = PacketMark {
                zone,
                dnat: index.filter(|_| nat.dnat),
                snat: index.filter(|_| nat.snat),
            };
            (choice.so_mark(), rules.connmark(&choice))
        });
        let request = NatRequest::<Ipv4Addr> {
            dnat: nat.dnat.then_some((*callee.ip(), callee.port())),
            snat: nat.snat.then_some((*shown.ip(), shown.port())),
        };
        let path = |src, dst| Ends { src, dst };
        let facts = Facts {
            id: random.u64(..),
            netns: site.inum(),
            can,
            nat,
            zone,
            orig: path(caller, dialled),
            reply: path(callee, shown),
        };
        // nf_tables reads the zone from the first two bytes of the priority, whichever half of the
        // number these are.
        let priority = (u32::from(zone) << 16 | u32::from(zone)) as i32;
        let mut open = |at| -> anyhow::Result<Socket> {
            let kind = SocketKind {
                family: site.draw_family(random),
                socket_type: SocketType::Datagram,
            };
            let socket = site.bound_at(kind, at, random)?;
            if marks.is_none() {
                setsockopt(&socket.fd, sockopt::Priority, &priority).context("set SO_PRIORITY")?;
            }
            Ok(socket)
        };
        Ok(Self {
            facts,
            payload: request.payload(),
            marks,
            client: open(caller)?,
            server: open(callee)?,
            draws_family: site.has_inet6(),
            opened: Instant::now(),
        })
    }

    fn send(
        &self,
        sampler: &mut Sampler<'_, '_>,
        tracking: &Tracking,
        turn: Turn,
    ) -> anyhow::Result<bool> {
        let ahead_s = sampler.random.u32(TIMEOUTS_S.start..TIMEOUTS_S.end);
        let timed = tracking.set_timeout_s(ahead_s).then_some(ahead_s);
        let started = sampler.started;
        let (facts, opened, marks) = (self.facts, self.opened, self.marks);
        let (sender, to, wire) = match turn {
            Turn::First | Turn::Later => (&self.client, facts.orig.dst, facts.reply.back()),
            Turn::Reply => (&self.server, facts.reply.dst, facts.orig.back()),
        };
        let is_drawn = self.draws_family && turn != Turn::Later;
        let between = Cell::new((Duration::ZERO, Duration::ZERO));
        let now = || started.elapsed();
        sampler.take(Trigger {
            name: format!("{facts}, {turn:?}"),
            event: Event::Packet,
            unknown: &[],
            repeats: true,
            prepare: &mut |mark| sender.mark(marks.map_or(mark, |(packets, _)| packets)),
            perform: &mut || {
                let before = now();
                let sent = sender.send(&self.payload, Some(to));
                between.set((before, now()));
                sent.with_context(|| format!("send a packet ({facts})"))
            },
            expect: &mut |mark| {
                let mark = marks.map_or(mark, |(_, connection)| connection);
                let mut all = connection::expected(&facts, Packet { turn, mark });
                if let Some(ahead_s) = timed {
                    all.extend(connection::deadline(ahead_s, between.get()));
                }
                all.extend(socket::expected(&sender.facts, is_drawn));
                all.extend(packet::expected(wire, 0));
                (opened.elapsed() < SHELF_LIFE).then_some(all)
            },
        })
    }
}
