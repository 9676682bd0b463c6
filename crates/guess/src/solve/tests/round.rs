//! The experiments of a round in a world, as [`LiveKernel`](crate::sample::live::LiveKernel) makes them on
//! the running kernel. The same round decides which of them are made, and how often.

use std::mem;
use std::net::Ipv4Addr;

use fastrand::Rng;
use shared::offsets::Field;

use super::scene::Scene;
use super::socks::Sock;
use super::world::World;
use crate::expected::Ends;
use crate::expected::connection;
use crate::expected::connection::Nat;
use crate::expected::connection::Turn;
use crate::expected::packet;
use crate::expected::socket;
use crate::expected::socket::Family;
use crate::fields::Event;
use crate::fields::Place;
use crate::fields::Struct;
use crate::sample::datagram::State;
use crate::sample::pool::SocketType;
use crate::sample::round::Bench;
use crate::sample::round::Where;
use crate::sample::round::round;
use crate::sample::route::Cause;
use crate::sample::sampler::Observer;
use crate::solve::sample::Expected;

/// A world under an observer.
struct Watched<'a> {
    world: &'a mut World,
    observer: &'a mut dyn Observer,
}

impl Bench for Watched<'_> {
    type Stream = (Sock, Sock);

    fn random(&mut self) -> &mut Rng {
        &mut self.world.random
    }

    fn is_open(&self, place: Place) -> bool {
        self.observer.is_open(place)
    }

    fn tracking_sites(&self) -> usize {
        self.world.tracking()
    }

    fn connection(&mut self, site: usize, nat: Nat) -> anyhow::Result<()> {
        self.world.connection(self.observer, site, nat);
        Ok(())
    }

    fn datagram(&mut self, at: Where, state: State) -> anyhow::Result<()> {
        let site = match at {
            Where::Any(index) => self.world.site(index),
            // Sites without tracking come first.
            Where::Untracked(_) => self.world.site(0),
        };
        let family = self.world.draw_family();
        self.world.datagram(self.observer, site, family, state);
        Ok(())
    }

    fn connect(&mut self, index: usize) -> anyhow::Result<Self::Stream> {
        let (site, _) = self.world.site(index);
        Ok(self.world.connect(self.observer, site))
    }

    fn ask(&mut self, _streams: &[Self::Stream]) -> anyhow::Result<()> {
        Ok(())
    }

    fn round_trips(
        &mut self,
        streams: &mut [Self::Stream],
        _round: u32,
        meanwhile: &mut dyn FnMut(&mut Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        for (client, server) in streams {
            meanwhile(self)?;
            let times = (self.world.round_trip_us)(&mut self.world.random);
            self.world
                .segment(self.observer, client, server, Some(times));
        }
        Ok(())
    }

    fn accepted(&mut self, (client, server): &mut Self::Stream) -> anyhow::Result<()> {
        self.world.segment(self.observer, server, client, None);
        Ok(())
    }

    fn keep(&mut self, _index: usize, _stream: Self::Stream) {}

    fn lookup(&mut self, event: Event, _index: usize, cause: Cause) -> anyhow::Result<()> {
        if event == Event::Route4 || self.world.has_inet6 {
            self.world.lookup(self.observer, event, cause);
        }
        Ok(())
    }
}

impl World {
    /// Runs a round.
    pub fn round(&mut self, observer: &mut dyn Observer, number: u32) {
        let world = self;
        round(&mut Watched { world, observer }, number).unwrap();
    }

    fn tracking(&self) -> usize {
        let inside = |field: &Field| Place::Field(*field).spec().inside;
        let is_asked = |field| inside(field) == Struct::NfConn || *field == Field::SkBuffNfct;
        if self.fields.iter().any(is_asked) {
            3
        } else {
            0
        }
    }

    /// The site of an experiment, and whether it tracks; those without tracking come first.
    fn site(&self, index: usize) -> (usize, bool) {
        let tracking = self.tracking();
        let plain = if tracking > 0 { 1 } else { 3 };
        let index = index % (plain + tracking);
        if index < plain {
            (tracking + index, false)
        } else {
            (index - plain, true)
        }
    }

    fn draw_family(&mut self) -> Family {
        if self.has_inet6 && self.random.u32(0..2) == 0 {
            Family::Inet6
        } else {
            Family::Inet
        }
    }

    fn connection(&mut self, observer: &mut dyn Observer, site: usize, nat: Nat) {
        let granted = self.can.nat == Some(true);
        let nat = Nat {
            dnat: nat.dnat && granted,
            snat: nat.snat && granted,
        };
        let [caller, callee, dialled, shown] = [(); 4].map(|()| self.random_loopback());
        let ends = |src, dst| Ends { src, dst };
        let facts = connection::Facts {
            id: self.random.u64(..),
            netns: self.netns(site),
            can: self.can,
            nat,
            zone: self.random.u32(1..1 << 16) as u16,
            orig: ends(caller, if nat.dnat { dialled } else { callee }),
            reply: ends(callee, if nat.snat { shown } else { caller }),
        };
        let mut open = |at| {
            let family = self.draw_family();
            let mut socket = self.socket(site, SocketType::Datagram, family, at);
            socket.option_words = 0;
            socket
        };
        let (client, server) = (open(caller), open(callee));
        for turn in [Turn::First, Turn::Reply, Turn::Later] {
            let (sender, wire) = match turn {
                Turn::Reply => (&server, facts.orig.back()),
                _ => (&client, facts.reply.back()),
            };
            let is_drawn = self.has_inet6 && turn != Turn::Later;
            let ahead_s = self.random.u32(1000..1_000_000);
            self.show(observer, Event::Packet, &[], |world, mark| {
                let between = world.meanwhile();
                let mut scene = world.packet(sender, is_drawn, wire);
                scene.name = format!("{facts}, {turn:?}");
                scene
                    .expected
                    .extend(connection::expected(&facts, turn, mark));
                if world.can_time {
                    scene
                        .expected
                        .extend(connection::deadline(ahead_s, between));
                }
                scene
            });
        }
    }

    fn datagram(
        &mut self,
        observer: &mut dyn Observer,
        (site, tracks): (usize, bool),
        family: Family,
        state: State,
    ) {
        let [at, to] = [(); 2].map(|()| self.random_loopback());
        let is_group = state == State::Multicast;
        let family = if is_group { Family::Inet } else { family };
        let mut sender = self.socket(site, SocketType::Datagram, family, at);
        if is_group {
            let group = 239 << 24 | self.random.u32(1..1 << 24);
            sender.facts.receives = group.into();
            sender.facts.sends = Ipv4Addr::LOCALHOST;
        }
        if state != State::Bound {
            sender.connect(to);
        }
        if state == State::Disconnected {
            // The copies stay.
            sender.facts.peer = None;
            sender.facts.mirrors = false;
        }
        let wire = Ends {
            src: sender.facts.address(),
            dst: to,
        };
        self.show(
            observer,
            Event::Packet,
            packet::MAY_BE_TRACKED,
            |world, _| {
                let mut scene = world.packet(&sender, !is_group && world.has_inet6, wire);
                scene.name = format!("{family:?} datagram, {state:?}");
                if tracks {
                    // It has a connection, about which nothing is known.
                    let id = world.random.u64(..);
                    let connection = Expected::Object { id, tag: 2 };
                    scene.hidden.push((Field::SkBuffNfct.into(), connection));
                } else {
                    scene.expected.push(packet::untracked());
                }
                scene
            },
        );
    }

    fn connect(&mut self, observer: &mut dyn Observer, site: usize) -> (Sock, Sock) {
        let [at, from] = [(); 2].map(|()| self.random_loopback());
        let [here, family] = [(); 2].map(|()| self.draw_family());
        let listener = self.socket(site, SocketType::Stream, family, at);
        self.show(observer, Event::SockState, &[], |_, _| Scene {
            name: format!("{family:?} stream, listening"),
            event: Event::SockState,
            shown: listener.facts.id,
            expected: socket::expected(&listener.facts, false),
            hidden: listener.hidden(),
            extras: listener.extras(),
            frame: None,
        });
        let mut client = self.socket(site, SocketType::Stream, here, from);
        let mut server = self.socket(site, SocketType::Stream, family, at);
        client.connect(at);
        server.connect(from);
        if !self.has_inet6 {
            client.facts.mirrors = true;
            server.facts.mirrors = true;
        }
        (client, server)
    }

    fn segment(
        &mut self,
        observer: &mut dyn Observer,
        sender: &mut Sock,
        peer: &Sock,
        round_trip: Option<(u32, u32)>,
    ) {
        sender.option_words = self.random.u32(0..packet::OPTION_WORDS);
        let is_new = !mem::replace(&mut sender.seen, true);
        let is_drawn = is_new && self.has_inet6;
        let wire = Ends {
            src: sender.facts.address(),
            dst: peer.facts.address(),
        };
        let sender = &*sender;
        self.show(
            observer,
            Event::Packet,
            packet::MAY_BE_TRACKED,
            |world, _| {
                let mut scene = world.packet(sender, is_drawn, wire);
                scene.name = format!("{:?} stream", sender.facts.family);
                if let Some((rtt_us, rttvar_us)) = round_trip {
                    scene.expected.extend(socket::round_trip(rtt_us, rttvar_us));
                }
                scene
            },
        );
    }
}
