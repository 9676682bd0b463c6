//! The kinds of flows: what the generator does, and what the kernel must have done. One table.

mod bridged;
mod notrack;
mod oneway;
mod plain;
mod reborn;
mod refused;
mod sharing;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;

use super::event::Key;
use super::event::Layer4;
use super::event::TCP;
use super::event::Tuple;
use super::event::UDP;
use super::plan::Flow;
use super::plan::Place;
use super::said::Known;
use super::said::Made;
use super::servers::Receipts;
use super::servers::Served;
use super::sockets;
use super::world::Need;
use super::world::Space;
use super::world::World;

const CLIENT: Place = Place("10.81.1.2", "fd81:1::2");
const CLIENT_TOO: Place = Place("10.81.1.3", "fd81:1::3");
const ROUTER: Place = Place("10.81.1.1", "fd81:1::1");
const UPLINK: Place = Place("10.81.2.1", "fd81:2::1");
const LOOPBACK: Place = Place("127.0.0.1", "::1");
/// Backends by what the router does on the way to them.
const PLAIN: Place = Place("10.81.3.1", "fd81:3::1");
const MASQUERADED: Place = Place("10.81.3.2", "fd81:3::2");
const SNATTED: Place = Place("10.81.3.3", "fd81:3::3");
/// Services.
const SERVICE: Place = Place("10.96.0.1", "fd96::1");
const MASQUERADED_SERVICE: Place = Place("10.96.0.2", "fd96::2");
const CHOSEN_SERVICE: Place = Place("10.96.0.4", "fd96::4");
const HERE: Place = Place("10.96.0.5", "fd96::5");

/// Nobody listens there.
const CLOSED: u16 = 7999;

/// Where flows are made.
pub struct Scene {
    /// The namespaces.
    pub(super) world: World,
    /// What the servers saw.
    pub(super) receipts: Arc<Receipts>,
}

/// A kind of flow.
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    pub(super) has_v6: bool,
    pub(super) has_tcp: bool,
    pub(super) has_udp: bool,
    pub(super) needs: Option<Need>,
    /// A reset ends it: the kernel sends the end before it notes that reply.
    pub(super) is_ended_by_reply: bool,
    pub(super) make: Make,
}

type Make = fn(&Scene, &Flow) -> anyhow::Result<Made>;

impl fmt::Debug for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name)
    }
}

const fn kind(name: &'static str, make: Make) -> Kind {
    Kind {
        name,
        has_v6: true,
        has_tcp: true,
        has_udp: true,
        needs: None,
        is_ended_by_reply: false,
        make,
    }
}

impl Kind {
    const fn v4(self) -> Self {
        let has_v6 = false;
        Self { has_v6, ..self }
    }

    const fn udp(self) -> Self {
        let has_tcp = false;
        Self { has_tcp, ..self }
    }

    const fn tcp(self) -> Self {
        let has_udp = false;
        Self { has_udp, ..self }
    }

    const fn needing(self, need: Need) -> Self {
        let needs = Some(need);
        Self { needs, ..self }
    }

    const fn reset(self) -> Self {
        let is_ended_by_reply = true;
        Self {
            is_ended_by_reply,
            ..self
        }
    }
}

/// Every kind. The function of each says what it does.
pub static KINDS: &[Kind] = &[
    kind("forwarded", plain::forwarded),
    kind("outbound", plain::outbound),
    kind("inbound", plain::inbound),
    kind("loopback", plain::loopback),
    kind("dnat", plain::dnat),
    kind("outbound-dnat", plain::outbound_dnat),
    kind("snat", plain::snat),
    kind("masquerade", plain::masquerade),
    kind("dnat-masquerade", plain::dnat_masquerade),
    kind("redirect", plain::redirect),
    kind("hairpin", plain::hairpin),
    kind("zone", plain::zone),
    kind("zone-original", plain::zone_original),
    kind("mark", plain::mark),
    kind("mark-changed", plain::mark_changed),
    kind("fragments", plain::fragments).udp(),
    kind("stream", plain::stream).udp(),
    kind("ping", plain::ping),
    kind("ping-nat", plain::ping_nat),
    kind("ping-in", plain::ping_in),
    kind("reject-reset", refused::reject_reset),
    kind("reject-icmp", refused::reject_icmp),
    kind("reject-in", refused::reject_in),
    kind("reject-out", refused::reject_out),
    kind("drop-forward", refused::drop_forward),
    kind("drop-in", refused::drop_in),
    kind("ttl", refused::ttl),
    kind("unreachable", refused::unreachable),
    kind("closed-here", refused::closed_here).reset(),
    kind("closed-behind", refused::closed_behind).reset(),
    kind("closed-loopback", refused::closed_loopback)
        .tcp()
        .reset(),
    kind("refused-again", refused::refused_again).tcp().reset(),
    kind("one-way", oneway::one_way),
    kind("one-way-out", oneway::one_way_out),
    kind("one-way-in", oneway::one_way_in).udp(),
    kind("broadcast-in", oneway::broadcast_in).v4().udp(),
    kind("broadcast-out", oneway::broadcast_out).v4().udp(),
    kind("multicast-out", oneway::multicast_out).v4().udp(),
    kind("reborn-other", reborn::reborn_other).udp(),
    kind("reborn-same", reborn::reborn_same).udp(),
    kind("tcp-reused", reborn::tcp_reused).tcp(),
    kind("tcp-reused-out", reborn::tcp_reused_out).tcp(),
    kind("deleted-reborn", reborn::deleted_reborn).udp(),
    kind("deleted-at-once", reborn::deleted_at_once).udp(),
    kind("same-port", sharing::same_port),
    kind("same-tuple", sharing::same_tuple).v4().udp(),
    kind("same-ping", sharing::same_ping),
    kind("gre", sharing::gre).v4().udp(),
    kind("clash", sharing::clash).v4().udp(),
    kind("notrack-reply", notrack::notrack_reply).udp(),
    kind("notrack-original", notrack::notrack_original).udp(),
    kind("synproxy", notrack::synproxy)
        .tcp()
        .needing(Need::Synproxy),
    kind("expectation", notrack::expectation)
        .v4()
        .udp()
        .needing(Need::Tftp),
    kind("bridged", bridged::bridged).v4().needing(Need::Bridge),
    kind("bridged-dnat", bridged::bridged_dnat)
        .v4()
        .needing(Need::Bridge),
    kind("bridged-hairpin", bridged::bridged_hairpin)
        .v4()
        .needing(Need::Bridge),
];

/// A call as it leaves: who, whom, from where.
#[derive(Debug, Clone, Copy)]
struct Call {
    space: Space,
    from: SocketAddr,
    to: SocketAddr,
}

impl Call {
    fn new(flow: &Flow, space: Space, from: Place, to: Place, port: u16) -> Self {
        Self {
            space,
            from: flow.end(from, flow.port(0)),
            to: flow.end(to, port),
        }
    }

    fn tuple(&self) -> Tuple {
        tuple(self.from, self.to)
    }

    fn key(&self, flow: &Flow) -> Key {
        Key {
            proto: if flow.is_tcp { TCP } else { UDP },
            orig: self.tuple(),
            zone: 0,
        }
    }

    /// Makes it by the flow's protocol; it must be answered. TCP closes in order, or by a reset.
    fn answered(&self, scene: &Scene, flow: &Flow, word: &str) -> anyhow::Result<Known> {
        if flow.is_tcp {
            let call = || sockets::call(self.from, self.to, None, sockets::PATIENCE);
            let mut stream = scene.world.at(self.space, call)?;
            sockets::converse(&mut stream, word).context("an echo")?;
            if flow.choose(0, 2) == 0 {
                sockets::reset(stream)?;
            }
        } else {
            let socket = scene
                .world
                .at(self.space, || sockets::datagrams(self.from))?;
            sockets::ask(&socket, self.to, word).context("an echo")?;
        }
        Ok(Known::to(scene.reply(word)?, true))
    }

    /// Sends datagrams that nobody answers.
    fn mute(&self, scene: &Scene, words: &[&str]) -> anyhow::Result<()> {
        let send = || {
            let socket = sockets::datagrams(self.from)?;
            socket.set_broadcast(true)?;
            for word in words {
                // A datagram that is refused here is an error here.
                let _ = socket.send_to(word.as_bytes(), self.to);
            }
            Ok(())
        };
        scene.world.at(self.space, send)
    }
}

fn tuple(from: SocketAddr, to: SocketAddr) -> Tuple {
    Tuple {
        src: from.ip(),
        dst: to.ip(),
        layer4: Layer4::Ports(from.port(), to.port()),
    }
}

impl Scene {
    fn served(&self, word: &str) -> anyhow::Result<Served> {
        let served = self.receipts.wait(word, sockets::PATIENCE);
        served.with_context(|| format!("no server has {word}"))
    }

    /// The reply direction by what the server saw.
    fn reply(&self, word: &str) -> anyhow::Result<Tuple> {
        let served = self.served(word)?;
        Ok(tuple(served.server, served.caller))
    }
}

/// A word that no other call says.
fn word(flow: &Flow, call: u64) -> String {
    format!("{}.{call}", flow.number)
}

/// The same, and the server keeps quiet.
fn mute_word(flow: &Flow, call: u64) -> String {
    format!("mute{}.{call}", flow.number)
}
