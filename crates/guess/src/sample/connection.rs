//! A tracked UDP connection over loopback with two sockets of its own. Its addresses, ports and zone are
//! random. Its first packet asks for the NAT.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use fastrand::Rng;
use lab::iptables::PacketMark;
use lab::nft::NatRequest;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt;

use super::address::random_loopback;
use super::borrowed;
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
use crate::expected::connection::Turn;
use crate::expected::packet;
use crate::expected::socket;

/// A connection that is two seconds old may get another status bit (`IPS_ASSURED`).
const MAX_AGE: Duration = Duration::from_secs(1);
/// Twenty bits of seconds; times the fastest clock they are still less than 2^31 jiffies.
const TIMEOUTS_S: Range<u32> = 1000..1_000_000;

/// A connection that we make.
#[derive(Debug)]
struct Flow {
    facts: Facts,
    /// What its packets carry.
    payload: Vec<u8>,
    /// With the legacy interface: the mark of all its packets, and the mark that it gets from them.
    marks: Option<(u32, u32)>,
    client: Socket,
    server: Socket,
    opened: Instant,
}

/// Sends the packets of a connection, as long as they are seen.
///
/// # Errors
/// If it cannot be made.
pub fn send(sampler: &mut Sampler<'_, '_>, site: &mut Site, nat: Nat) -> anyhow::Result<()> {
    let Some(mut tracking) = site.tracking.take() else {
        return Ok(());
    };
    let sent = match &mut tracking.switch {
        Switch::Borrowed(borrowed) => borrowed::connection(sampler, site, borrowed),
        _ => three_packets(sampler, site, &mut tracking, nat),
    };
    site.tracking = Some(tracking);
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
        let is_drawn = site.has_inet6() && turn != Turn::Later;
        if !flow.send(sampler, tracking, turn, is_drawn)? {
            break;
        }
    }
    site.keep(flow.client.fd);
    site.keep(flow.server.fd);
    Ok(())
}

impl Flow {
    /// Binds two sockets at the site and sends nothing yet. Without NAT there, the flow has none.
    fn open(
        site: &mut Site,
        tracking: &mut Tracking,
        nat: Nat,
        random: &mut Rng,
    ) -> anyhow::Result<Self> {
        let can = tracking.can;
        let [caller, callee, dialled, shown] = [(); 4].map(|()| random_loopback(random));
        let zone = random.u32(1..1 << 16) as u16;
        // The rules of the legacy interface name in advance the ends to which they rewrite.
        let mut legacy = match &mut tracking.switch {
            Switch::Legacy(legacy) => Some(legacy),
            _ => None,
        };
        let is_legacy = legacy.is_some();
        let ends = legacy.as_mut().and_then(|legacy| legacy.next_ends());
        let has_nat = can.nat == Some(true) && is_legacy == ends.is_some();
        let nat = Nat {
            dnat: nat.dnat && has_nat,
            snat: nat.snat && has_nat,
        };
        let callee = ends.filter(|_| nat.dnat).map_or(callee, |(_, to, _)| to);
        let shown = ends.map_or(shown, |(_, _, from)| from);
        let dialled = if nat.dnat { dialled } else { callee };
        let shown = if nat.snat { shown } else { caller };
        let index = ends.map(|(index, _, _)| index);
        let choice = PacketMark {
            zone,
            dnat: index.filter(|_| nat.dnat),
            snat: index.filter(|_| nat.snat),
        };
        let marks = legacy.map(|legacy| (choice.so_mark(), legacy.rules.connmark(&choice)));
        let request = NatRequest::<Ipv4Addr> {
            dnat: nat.dnat.then_some((*callee.ip(), callee.port())),
            snat: nat.snat.then_some((*shown.ip(), shown.port())),
        };
        let ends = |src, dst| Ends { src, dst };
        let facts = Facts {
            id: random.u64(..),
            netns: site.inum,
            can,
            nat,
            zone,
            orig: ends(caller, dialled),
            reply: ends(callee, shown),
        };
        // nf_tables reads the zone from the first two bytes of the priority, so both halves of the
        // number hold it.
        let priority = (u32::from(zone) << 16 | u32::from(zone)) as i32;
        let mut open = |at| -> anyhow::Result<Socket> {
            let kind = SocketType::Datagram.of(site.draw_family(random));
            let socket = site.bound_at(kind, at, random)?;
            if !is_legacy {
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
            opened: Instant::now(),
        })
    }

    /// Sends a packet, and returns whether it was seen.
    fn send(
        &self,
        sampler: &mut Sampler<'_, '_>,
        tracking: &Tracking,
        turn: Turn,
        is_drawn: bool,
    ) -> anyhow::Result<bool> {
        let facts = self.facts;
        let ahead_s = sampler.random.u32(TIMEOUTS_S);
        let has_timeout = tracking.set_timeout_s(ahead_s);
        let started = sampler.started;
        let (sender, to, wire) = match turn {
            Turn::First | Turn::Later => (&self.client, facts.orig.dst, facts.reply.back()),
            Turn::Reply => (&self.server, facts.reply.dst, facts.orig.back()),
        };
        let trigger = Trigger {
            mark: self.marks.map(|(packets, _)| packets),
            ..Trigger::packet(format!("{facts}, {turn:?}"), &sender.fd)
        };
        let transmit = || {
            let before = started.elapsed();
            let sent = sender.send(&self.payload, Some(to));
            let between = (before, started.elapsed());
            sent.with_context(|| format!("send a packet ({facts})"))
                .map(|()| between)
        };
        sampler.take(trigger, transmit, |mark, between| {
            let mark = self.marks.map_or(mark, |(_, connection)| connection);
            let mut all = connection::expected(&facts, turn, mark);
            if has_timeout {
                all.extend(connection::deadline(ahead_s, between));
            }
            all.extend(socket::expected(&sender.facts, is_drawn));
            all.extend(packet::expected(wire, 0));
            (self.opened.elapsed() < MAX_AGE).then_some(all)
        })
    }
}
