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
use crate::expected::socket::Family;
use crate::fields::Place;
use crate::fields::Struct;
use crate::solve::Solver;

/// The tracked flows of one round, as (ground, kind): every kind of NAT, and three namespaces.
const FLOWS: [(usize, Nat); 6] = [
    (0, Nat::KINDS[0]),
    (0, Nat::KINDS[1]),
    (0, Nat::KINDS[2]),
    (0, Nat::KINDS[3]),
    (1, Nat::KINDS[1]),
    (2, Nat::KINDS[2]),
];
/// How often a datagram is sent in each state.
const DATAGRAMS: [(State, usize); 4] = [
    (State::Bound, 10),
    (State::Connected, 5),
    (State::Dissolved, 5),
    (State::Group, 4),
];
/// Sockets of one of two families each, if nothing but the family is open.
const FAMILIES: usize = 24;
/// Packets that must show no connection, if nothing but connections is open.
const STRANGERS: usize = 2;
/// TCP connections, and how often each is answered.
const STREAMS: usize = 8;
const ANSWERS: usize = 2;
/// Lookups per cause.
const LOOKUPS: usize = 2;

/// Runs one round; `number` counts them from 0.
///
/// # Errors
/// If an experiment cannot be made.
pub fn round(
    camera: &mut Camera<'_, '_>,
    grounds: &mut Grounds,
    number: u32,
) -> anyhow::Result<()> {
    if !grounds.tracked.is_empty() && is_open(camera, TRACKED) {
        let mut flows = FLOWS;
        camera.random.shuffle(&mut flows);
        for (ground, nat) in flows {
            let count = grounds.tracked.len();
            tracked::connection(camera, &mut grounds.tracked[ground % count], nat)?;
        }
    }
    if is_open(camera, SOCKETS) {
        datagrams(camera, grounds, &DATAGRAMS)?;
    } else if is_open(camera, FAMILY) {
        datagrams(camera, grounds, &[(State::Bound, FAMILIES)])?;
    } else if is_open(camera, UNTRACKED) {
        datagrams(camera, grounds, &[(State::Bound, STRANGERS)])?;
    }
    if is_open(camera, STREAM) || is_open(camera, SOCKETS) {
        streams(camera, grounds, number)?;
    }
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

fn datagrams(
    camera: &mut Camera<'_, '_>,
    grounds: &mut Grounds,
    times: &[(State, usize)],
) -> anyhow::Result<()> {
    let mut states: Vec<State> = times
        .iter()
        .flat_map(|(state, times)| [*state].repeat(*times))
        .collect();
    camera.random.shuffle(&mut states);
    for (index, state) in states.into_iter().enumerate() {
        let ground = grounds.any(index);
        let family = draw_family(camera, ground);
        datagram::packet(camera, ground, family, state)?;
    }
    Ok(())
}

fn streams(camera: &mut Camera<'_, '_>, grounds: &mut Grounds, number: u32) -> anyhow::Result<()> {
    let mut pairs = Vec::new();
    for index in 0..STREAMS {
        let ground = grounds.any(index);
        let family = draw_family(camera, ground);
        pairs.push(stream::connect(camera, ground, family)?);
    }
    stream::ask(&pairs)?;
    for _ in 0..ANSWERS {
        stream::round_trips(camera, &mut pairs, number)?;
    }
    for pair in &mut pairs {
        stream::sample_server(camera, pair)?;
    }
    for (index, pair) in pairs.into_iter().enumerate() {
        stream::leave(grounds.any(index), pair);
    }
    Ok(())
}

fn draw_family(camera: &mut Camera<'_, '_>, ground: &Ground) -> Family {
    if ground.has_inet6() && camera.random.between(0, 2) == 0 {
        Family::Inet6
    } else {
        Family::Inet
    }
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
    let only_connections = [Struct::Sock, Struct::Buffer, Struct::Flowi4, Struct::Flowi6];
    if only_connections.iter().any(|other| solver.needs(*other)) {
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
const UNTRACKED: &[Place] = &[Place::Field(Field::SkBuffNfct)];
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
