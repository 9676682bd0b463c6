//! Where flows are made, and what the functions of all kinds use: addresses, calls, words.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;

use super::event::Key;
use super::event::Layer4;
use super::event::TCP;
use super::event::Tuple;
use super::event::UDP;
use super::flow::Flow;
use super::flow::Place;
use super::said::Known;
use super::servers::Receipts;
use super::servers::Served;
use super::sockets;
use super::world::Space;
use super::world::World;

pub const CLIENT: Place = Place("10.81.1.2", "fd81:1::2");
pub const CLIENT_TOO: Place = Place("10.81.1.3", "fd81:1::3");
pub const ROUTER: Place = Place("10.81.1.1", "fd81:1::1");
pub const UPLINK: Place = Place("10.81.2.1", "fd81:2::1");
pub const LOOPBACK: Place = Place("127.0.0.1", "::1");
/// Backends by what the router does on the way to them.
pub const PLAIN: Place = Place("10.81.3.1", "fd81:3::1");
pub const MASQUERADED: Place = Place("10.81.3.2", "fd81:3::2");
pub const SNATTED: Place = Place("10.81.3.3", "fd81:3::3");
/// Services.
pub const SERVICE: Place = Place("10.96.0.1", "fd96::1");
pub const MASQUERADED_SERVICE: Place = Place("10.96.0.2", "fd96::2");
pub const CHOSEN_SERVICE: Place = Place("10.96.0.4", "fd96::4");
pub const HERE: Place = Place("10.96.0.5", "fd96::5");

/// Nobody listens there.
pub const CLOSED: u16 = 7999;

/// Where flows are made.
pub struct Scene {
    /// The namespaces.
    pub world: World,
    /// What the servers saw.
    pub receipts: Arc<Receipts>,
}

/// A call as it leaves: who, whom, from where.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub space: Space,
    pub from: SocketAddr,
    pub to: SocketAddr,
}

impl Call {
    pub fn new(flow: &Flow, space: Space, from: Place, to: Place, port: u16) -> Self {
        Self {
            space,
            from: flow.end(from, flow.port(0)),
            to: flow.end(to, port),
        }
    }

    pub fn tuple(&self) -> Tuple {
        tuple(self.from, self.to)
    }

    pub fn key(&self, flow: &Flow) -> Key {
        Key {
            proto: if flow.is_tcp { TCP } else { UDP },
            orig: self.tuple(),
            zone: 0,
        }
    }

    /// Makes it by the flow's protocol; it must be answered. TCP closes in order, or by a reset.
    pub fn answered(&self, scene: &Scene, flow: &Flow, word: &str) -> anyhow::Result<Known> {
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
    pub fn mute(&self, scene: &Scene, words: &[&str]) -> anyhow::Result<()> {
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

pub fn tuple(from: SocketAddr, to: SocketAddr) -> Tuple {
    Tuple {
        src: from.ip(),
        dst: to.ip(),
        layer4: Layer4::Ports(from.port(), to.port()),
    }
}

impl Scene {
    pub fn served(&self, word: &str) -> anyhow::Result<Served> {
        let served = self.receipts.wait(word, sockets::PATIENCE);
        served.with_context(|| format!("no server has {word}"))
    }

    /// The reply direction by what the server saw.
    pub fn reply(&self, word: &str) -> anyhow::Result<Tuple> {
        let served = self.served(word)?;
        Ok(tuple(served.server, served.caller))
    }
}

/// A word that no other call says.
pub fn word(flow: &Flow, call: u64) -> String {
    format!("{}.{call}", flow.number)
}

/// The same, and the server keeps quiet.
pub fn mute_word(flow: &Flow, call: u64) -> String {
    format!("mute{}.{call}", flow.number)
}
