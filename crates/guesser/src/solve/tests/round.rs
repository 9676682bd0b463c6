//! A round in a world: the states and the numbers of the first one of `sample::plan`, without a kernel.
//! Here later ones are like the first.

use std::net::Ipv4Addr;
use std::net::SocketAddrV4;

use shared::offsets::Field;

use super::scene::Scene;
use super::socks::Sock;
use super::world::World;
use crate::expected::Ends;
use crate::expected::connection;
use crate::expected::connection::Nat;
use crate::expected::connection::Packet;
use crate::expected::connection::Turn;
use crate::expected::packet;
use crate::expected::socket;
use crate::expected::socket::Family;
use crate::fields::Event;
use crate::fields::Place;
use crate::fields::SPECS;
use crate::fields::Struct;
use crate::sample::camera::Witness;
use crate::sample::datagram::State;
use crate::sample::plan::ANSWERS;
use crate::sample::plan::DATAGRAMS;
use crate::sample::plan::FLOWS;
use crate::sample::plan::LOOKUPS;
use crate::sample::plan::STREAMS;
use crate::sample::route::Cause;
use crate::sample::socket::Manner;
use crate::solve::sample::Expected;

impl World {
    /// Runs one round.
    pub fn round(&mut self, witness: &mut dyn Witness) {
        let of = |structs: &[Struct]| -> Vec<Place> {
            let inside = SPECS.iter().filter(|spec| structs.contains(&spec.inside));
            inside.map(|spec| spec.place).collect()
        };
        let stream: &[Place] = &[Field::TcpSockSrttUs.into(), Field::TcpSockMdevUs.into()];
        let mut tracked = of(&[Struct::NfConn, Struct::Net]);
        tracked.push(Field::SkBuffNfct.into());
        let mut sockets = of(&[Struct::SkBuff, Struct::Sock, Struct::Socket]);
        sockets.retain(|place| *place != Field::SkBuffNfct.into() && !stream.contains(place));
        if self.tracking() > 0 && !witness.is_done(&tracked) {
            let mut kinds = Nat::KINDS;
            self.random.shuffle(&mut kinds);
            for (index, nat) in kinds.into_iter().cycle().take(FLOWS).enumerate() {
                self.connection(witness, index % self.tracking(), nat);
            }
        }
        if !witness.is_done(&sockets) {
            self.datagrams(witness);
        }
        if !witness.is_done(stream) || !witness.is_done(&sockets) {
            self.streams(witness);
        }
        for event in [Event::Route4, Event::Route6] {
            let mut causes = [Cause::ALL; LOOKUPS].concat();
            self.random.shuffle(&mut causes);
            let is_there = event == Event::Route4 || self.has_inet6;
            if is_there && !witness.is_done(&of(&[event.shows()])) {
                for cause in causes {
                    self.lookup(witness, event, cause);
                }
            }
        }
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

    /// The ground of an experiment: those that do not track come first.
    fn ground(&self, index: usize) -> (usize, bool) {
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
        if self.has_inet6 && self.random.between(0, 2) == 0 {
            Family::Inet6
        } else {
            Family::Inet
        }
    }

    fn connection(&mut self, witness: &mut dyn Witness, ground: usize, nat: Nat) {
        let granted = self.can.nat == Some(true);
        let nat = Nat {
            dnat: nat.dnat && granted,
            snat: nat.snat && granted,
        };
        let [caller, callee, dialled, shown] = [(); 4].map(|()| self.somewhere());
        let ends = |src, dst| Ends { src, dst };
        let facts = connection::Facts {
            id: self.random.number(),
            netns: self.netns(ground),
            can: self.can,
            nat,
            zone: self.random.between(1, 1 << 16) as u16,
            orig: ends(caller, if nat.dnat { dialled } else { callee }),
            reply: ends(callee, if nat.snat { shown } else { caller }),
        };
        let mut open = |at| {
            let family = self.draw_family();
            let mut socket = self.socket(ground, Manner::Datagrams, family, at);
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
            let ahead_s = self.random.between(1000, 1_000_000);
            self.show(witness, Event::Packet, &[], |world, mark| {
                let between = world.meanwhile();
                let mut scene = world.packet(sender, is_drawn, wire);
                scene.name = format!("{facts}, {turn:?}");
                scene
                    .told
                    .extend(connection::expected(&facts, Packet { turn, mark }));
                if world.can_time {
                    scene.told.extend(connection::deadline(ahead_s, between));
                }
                scene
            });
        }
    }

    fn datagrams(&mut self, witness: &mut dyn Witness) {
        let mut states: Vec<State> = DATAGRAMS
            .into_iter()
            .flat_map(|(state, times)| [state].repeat(times))
            .collect();
        self.random.shuffle(&mut states);
        for (index, state) in states.into_iter().enumerate() {
            let family = self.draw_family();
            let (ground, tracks) = self.ground(index);
            self.datagram(witness, (ground, tracks), family, state);
        }
    }

    fn datagram(
        &mut self,
        witness: &mut dyn Witness,
        (ground, tracks): (usize, bool),
        family: Family,
        state: State,
    ) {
        let [at, to] = [(); 2].map(|()| self.somewhere());
        let is_group = state == State::Group;
        let family = if is_group { Family::Inet } else { family };
        let mut sender = self.socket(ground, Manner::Datagrams, family, at);
        if is_group {
            let group = 239 << 24 | self.random.between(1, 1 << 24);
            sender.facts.receives = group.into();
            sender.facts.sends = Ipv4Addr::LOCALHOST;
        }
        if state != State::Bound {
            sender.connect(to);
        }
        if state == State::Dissolved {
            // The copies stay.
            sender.facts.peer = None;
            sender.facts.mirrors = None;
        }
        let wire = Ends {
            src: SocketAddrV4::new(sender.facts.sends, at.port()),
            dst: to,
        };
        self.show(witness, Event::Packet, packet::UNTRACKED, |world, _| {
            let mut scene = world.packet(&sender, !is_group && world.has_inet6, wire);
            scene.name = format!("{family:?} datagram, {state:?}");
            if tracks {
                // It has a connection, of which nothing is told.
                let id = world.random.number();
                let connection = Expected::Object { id, tag: 2 };
                scene.hidden.push((Field::SkBuffNfct.into(), connection));
            } else {
                scene.told.push(packet::untracked());
            }
            scene
        });
    }

    fn streams(&mut self, witness: &mut dyn Witness) {
        let mut pairs: Vec<(Sock, Sock)> = (0..STREAMS)
            .map(|index| {
                let (ground, _) = self.ground(index);
                self.connect(witness, ground)
            })
            .collect();
        for _ in 0..ANSWERS {
            for (client, server) in &mut pairs {
                let times = (self.round_trip_us)(&mut self.random);
                self.segment(witness, client, server, Some(times));
            }
        }
        for (client, server) in &mut pairs {
            self.segment(witness, server, client, None);
        }
    }

    fn connect(&mut self, witness: &mut dyn Witness, ground: usize) -> (Sock, Sock) {
        let [at, from] = [(); 2].map(|()| self.somewhere());
        let [here, family] = [(); 2].map(|()| self.draw_family());
        let listener = self.socket(ground, Manner::Stream, family, at);
        self.show(witness, Event::SockState, &[], |_, _| Scene {
            name: format!("{family:?} stream, listening"),
            event: Event::SockState,
            shown: listener.facts.id,
            told: socket::expected(&listener.facts, false),
            hidden: listener.hidden(),
            extras: listener.extras(),
            frame: None,
        });
        let mut client = self.socket(ground, Manner::Stream, here, from);
        let mut server = self.socket(ground, Manner::Stream, family, at);
        client.connect(at);
        server.connect(from);
        if !self.has_inet6 {
            client.facts.mirrors = Some(true);
            server.facts.mirrors = Some(true);
        }
        (client, server)
    }

    fn segment(
        &mut self,
        witness: &mut dyn Witness,
        sender: &mut Sock,
        peer: &Sock,
        round_trip: Option<(u32, u32)>,
    ) {
        sender.option_words = self.random.between(0, packet::OPTION_WORDS);
        let is_new = !std::mem::replace(&mut sender.seen, true);
        let is_drawn = is_new && self.has_inet6;
        let end = |socket: &Sock| SocketAddrV4::new(socket.facts.sends, socket.facts.port);
        let wire = Ends {
            src: end(sender),
            dst: end(peer),
        };
        let sender = &*sender;
        self.show(witness, Event::Packet, packet::UNTRACKED, |world, _| {
            let mut scene = world.packet(sender, is_drawn, wire);
            scene.name = format!("{:?} stream", sender.facts.family);
            if let Some((rtt_us, rttvar_us)) = round_trip {
                scene.told.extend(socket::round_trip(rtt_us, rttvar_us));
            }
            scene
        });
    }
}
