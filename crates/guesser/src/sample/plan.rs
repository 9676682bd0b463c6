//! One round of experiments: everything that tells fields from their copies, in random order where
//! order could matter, and nothing for fields of which enough is known.

use shared::offsets::Field;

use super::camera::Camera;
use super::datagram;
use super::datagram::State;
use super::ground::Ground;
use super::grounds::Grounds;
use super::route;
use super::route::Cause;
use super::socket::Kind;
use super::socket::Manner;
use super::stream;
use super::tracked;
use crate::expected::connection::Nat;
use crate::expected::packet;
use crate::expected::socket::Family;
use crate::fields::Place;
use crate::fields::Struct;
use crate::solve::Solver;

/// Tracked flows. The first few tell where a connection is, the others what is in it: every kind of
/// NAT, in three namespaces.
pub const FLOWS: usize = 6;
/// How often a datagram is sent in each state.
pub const DATAGRAMS: [(State, usize); 4] = [
    (State::Bound, 6),
    (State::Connected, 4),
    (State::Dissolved, 4),
    (State::Group, 3),
];
/// Sockets of one of two families each, if of all that a socket tells only the family is open.
const FAMILIES: usize = 40;
/// Packets that must show no connection, if no others are sent where nothing is tracked.
const STRANGERS: usize = 2;
/// TCP connections.
pub const STREAMS: usize = 8;
/// How often each of them is answered.
pub const ANSWERS: usize = 2;
/// Lookups per cause.
pub const LOOKUPS: usize = 2;

/// Runs one round; `number` counts them from 0. A later round ends each part as soon as enough is known.
///
/// # Errors
/// If an experiment cannot be made.
pub fn round(
    camera: &mut Camera<'_, '_>,
    grounds: &mut Grounds,
    number: u32,
) -> anyhow::Result<()> {
    let ends_early = number > 0;
    if !grounds.tracked.is_empty() && is_open(camera, TRACKED) {
        flows(camera, grounds, ends_early)?;
    }
    let mut datagrams = if is_open(camera, SOCKETS) {
        Datagrams::new(camera, &DATAGRAMS, ends_early.then_some(SOCKETS))
    } else if is_open(camera, FAMILY) {
        let until = ends_early.then_some(FAMILY);
        Datagrams::new(camera, &[(State::Bound, FAMILIES)], until)
    } else {
        Datagrams::default()
    };
    while ends_early && datagrams.send_next(camera, grounds)? {}
    if !is_open(camera, SOCKETS) && is_open(camera, packet::UNTRACKED) {
        for index in 0..STRANGERS {
            let ground = grounds.untracked(index);
            let family = ground.draw_family(camera.random);
            datagram::packet(camera, ground, family, State::Bound)?;
        }
    }
    if is_open(camera, STREAM) || is_open(camera, SOCKETS) {
        streams(camera, grounds, number, &mut datagrams)?;
    }
    while datagrams.send_next(camera, grounds)? {}
    for (places, lookup) in [
        (ROUTES4, route::lookup4 as Lookup),
        (ROUTES6, route::lookup6 as Lookup),
    ] {
        if !is_open(camera, places) {
            continue;
        }
        let mut causes = [Cause::ALL; LOOKUPS].concat();
        camera.random.shuffle(&mut causes);
        for (index, cause) in causes.into_iter().enumerate() {
            if ends_early && !is_open(camera, places) {
                break;
            }
            let ground = grounds.any(index);
            if places == ROUTES6 && !ground.has_inet6() {
                break;
            }
            lookup(camera, ground, cause)?;
        }
    }
    Ok(())
}

type Lookup = fn(&mut Camera<'_, '_>, &mut Ground, Cause) -> anyhow::Result<bool>;

fn flows(
    camera: &mut Camera<'_, '_>,
    grounds: &mut Grounds,
    ends_early: bool,
) -> anyhow::Result<()> {
    let mut kinds = Nat::KINDS;
    camera.random.shuffle(&mut kinds);
    let count = grounds.tracked.len();
    for (index, nat) in kinds.into_iter().cycle().take(FLOWS).enumerate() {
        if ends_early && !is_open(camera, TRACKED) {
            break;
        }
        tracked::connection(camera, &mut grounds.tracked[index % count], nat)?;
    }
    Ok(())
}

/// Datagrams to send, whenever there is time.
#[derive(Default)]
struct Datagrams {
    states: Vec<State>,
    /// Until these are known.
    until: Option<&'static [Place]>,
}

impl Datagrams {
    fn new(
        camera: &mut Camera<'_, '_>,
        times: &[(State, usize)],
        until: Option<&'static [Place]>,
    ) -> Self {
        let all = times
            .iter()
            .flat_map(|(state, times)| [*state].repeat(*times));
        let mut states: Vec<State> = all.collect();
        camera.random.shuffle(&mut states);
        Self { states, until }
    }

    /// Sends the next one, each on another ground; says whether there was one.
    fn send_next(
        &mut self,
        camera: &mut Camera<'_, '_>,
        grounds: &mut Grounds,
    ) -> anyhow::Result<bool> {
        if self.until.is_some_and(|places| !is_open(camera, places)) {
            return Ok(false);
        }
        let Some(state) = self.states.pop() else {
            return Ok(false);
        };
        let ground = grounds.any(self.states.len());
        let family = ground.draw_family(camera.random);
        datagram::packet(camera, ground, family, state)?;
        Ok(true)
    }
}

fn streams(
    camera: &mut Camera<'_, '_>,
    grounds: &mut Grounds,
    number: u32,
    datagrams: &mut Datagrams,
) -> anyhow::Result<()> {
    let mut pairs = Vec::new();
    for index in 0..STREAMS {
        pairs.push(stream::connect(camera, grounds.any(index))?);
    }
    stream::ask(&pairs)?;
    let wants_more = |camera: &Camera<'_, '_>| {
        number == 0 || is_open(camera, STREAM) || is_open(camera, SOCKETS)
    };
    for _ in 0..ANSWERS {
        if !wants_more(camera) {
            break;
        }
        stream::round_trips(camera, &mut pairs, number, &mut |camera| {
            datagrams.send_next(camera, grounds)
        })?;
    }
    for pair in &mut pairs {
        stream::sample_server(camera, pair)?;
    }
    for (index, pair) in pairs.into_iter().enumerate() {
        stream::leave(grounds.any(index), pair);
    }
    Ok(())
}

fn is_open(camera: &Camera<'_, '_>, places: &[Place]) -> bool {
    !camera.witness.is_done(places)
}

const fn kind(family: Family, manner: Manner) -> Kind {
    Kind { family, manner }
}

/// The kinds of sockets that will be wanted.
#[must_use]
pub fn stock(solver: &Solver) -> &'static [Kind] {
    const ALL: &[Kind] = &[
        kind(Family::Inet, Manner::Datagrams),
        kind(Family::Inet6, Manner::Datagrams),
        kind(Family::Inet, Manner::Stream),
        kind(Family::Inet6, Manner::Stream),
    ];
    let beside_connections = [Struct::Sock, Struct::Buffer, Struct::Flowi4, Struct::Flowi6];
    if beside_connections.iter().any(|other| solver.needs(*other)) {
        ALL
    } else {
        &ALL[..1]
    }
}

const TRACKED: &[Place] = &[
    Place::Field(Field::SkBuffNfct),
    Place::Field(Field::NfConnTupleOrig),
    Place::Field(Field::NfConnTupleReply),
    Place::Field(Field::NfConnStatus),
    Place::Field(Field::NfConnMark),
    Place::Field(Field::NfConnZone),
    Place::Field(Field::NfConnTimeout),
    Place::Field(Field::NfConnCtNet),
    Place::Field(Field::NetNsInum),
];
const SOCKETS: &[Place] = &[
    Place::Field(Field::SkBuffSk),
    Place::Field(Field::SkBuffHead),
    Place::Field(Field::SkBuffTransportHeader),
    Place::Field(Field::SkBuffNetworkHeader),
    Place::Field(Field::SkBuffMacHeader),
    Place::Field(Field::SockDaddr),
    Place::Field(Field::SockRcvSaddr),
    Place::Field(Field::SockDport),
    Place::Field(Field::SockNum),
    Place::Field(Field::SockNet),
    Place::Field(Field::SockV6Daddr),
    Place::Field(Field::SockV6RcvSaddr),
    Place::Field(Field::InetSockSaddr),
    Place::Field(Field::InetSockSport),
    Place::Field(Field::SocketSk),
    Place::SockSocket,
    Place::SocketIno,
];
const FAMILY: &[Place] = &[Place::Field(Field::SockFamily)];
const STREAM: &[Place] = &[
    Place::Field(Field::TcpSockSrttUs),
    Place::Field(Field::TcpSockMdevUs),
];
const ROUTES4: &[Place] = &[
    Place::Field(Field::Flowi4Saddr),
    Place::Field(Field::Flowi4Daddr),
    Place::Field(Field::Flowi4Sport),
    Place::Field(Field::Flowi4Dport),
];
const ROUTES6: &[Place] = &[
    Place::Field(Field::Flowi6Saddr),
    Place::Field(Field::Flowi6Daddr),
    Place::Field(Field::Flowi6Sport),
    Place::Field(Field::Flowi6Dport),
];
