//! One round of experiments: everything that distinguishes fields from their copies, in random order where
//! order could matter, and nothing for fields that are decided. Which experiment shows a field is a column
//! of the table ([`SPECS`]); a [`Bench`] carries it out.

use fastrand::Rng;

use super::datagram::State;
use super::pool::SocketKind;
use super::pool::SocketType;
use super::route::Cause;
use crate::expected::connection::Nat;
use crate::expected::socket::Family;
use crate::fields::Event;
use crate::fields::Experiment;
use crate::fields::Place;
use crate::fields::SPECS;
use crate::fields::Struct;
use crate::solve::Solver;
use shared::offsets::Field;

/// How many tracked connections are made. The first few decide where `nf_conn` is, the others what is in it,
/// with every kind of NAT in three namespaces.
const CONNECTIONS: usize = 6;
/// How often a datagram is sent in each state.
const DATAGRAMS: [(State, usize); 4] = [
    (State::Bound, 6),
    (State::Connected, 4),
    (State::Disconnected, 4),
    (State::Multicast, 3),
];
/// How many sockets of a random family are made if the family is the only undecided field of a socket.
const FAMILIES: [(State, usize); 1] = [(State::Bound, 40)];
/// How many packets are sent that must show no connection, if no others are sent at sites without tracking.
const UNTRACKED: usize = 2;
/// How many TCP connections are made.
const STREAMS: usize = 8;
/// How often each of them is answered.
const ANSWERS: usize = 2;
/// How many lookups are made per cause.
const LOOKUPS: usize = 2;

/// Where a datagram is sent.
#[derive(Debug, Clone, Copy)]
pub enum Where {
    /// At any site; consecutive indices are different sites.
    Any(usize),
    /// At a site without tracking.
    Untracked(usize),
}

/// Carries out the experiments: on the running kernel, or on a test kernel made of bytes.
pub trait Bench: Sized {
    /// A TCP connection.
    type Stream;

    /// The source of random order.
    fn random(&mut self) -> &mut Rng;

    /// Whether samples of a place are still of use.
    fn is_open(&self, place: Place) -> bool;

    /// How many sites track connections.
    fn tracking_sites(&self) -> usize;

    /// Sends the packets of a tracked connection.
    ///
    /// # Errors
    /// This and the following: if the experiment cannot be made.
    fn connection(&mut self, site: usize, nat: Nat) -> anyhow::Result<()>;

    /// Sends a datagram from a socket in this state.
    fn datagram(&mut self, at: Where, state: State) -> anyhow::Result<()>;

    /// Makes a TCP connection at the site with this index.
    fn connect(&mut self, index: usize) -> anyhow::Result<Self::Stream>;

    /// Makes every client send a byte that is not answered yet.
    fn ask(&mut self, streams: &[Self::Stream]) -> anyhow::Result<()>;

    /// Answers each client after a random time, longer in later rounds, and then samples it. While it waits,
    /// it calls `meanwhile`, until that has nothing more to do.
    fn round_trips(
        &mut self,
        streams: &mut [Self::Stream],
        round: u32,
        meanwhile: &mut dyn FnMut(&mut Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()>;

    /// Samples the end that was accepted.
    fn accepted(&mut self, stream: &mut Self::Stream) -> anyhow::Result<()>;

    /// Keeps a connection open until the next attempt.
    fn keep(&mut self, index: usize, stream: Self::Stream);

    /// Makes the kernel look up a route.
    fn lookup(&mut self, event: Event, index: usize, cause: Cause) -> anyhow::Result<()>;
}

/// Runs one round; `number` counts from 0. A later round ends each part as soon as its fields are decided.
///
/// # Errors
/// If an experiment cannot be made.
pub fn round<B: Bench>(bench: &mut B, number: u32) -> anyhow::Result<()> {
    let ends_early = number > 0;
    if bench.tracking_sites() > 0 && is_open(bench, Experiment::Connections) {
        connections(bench, ends_early)?;
    }
    let mut datagrams = if is_open(bench, Experiment::Sockets) {
        Datagrams::new(bench, &DATAGRAMS, Experiment::Sockets)
    } else if is_open(bench, Experiment::Families) {
        Datagrams::new(bench, &FAMILIES, Experiment::Families)
    } else {
        Datagrams::default()
    };
    datagrams.until = datagrams.until.filter(|_| ends_early);
    while ends_early && datagrams.send_next(bench)? {}
    if !is_open(bench, Experiment::Sockets) && bench.is_open(Field::SkBuffNfct.into()) {
        for index in 0..UNTRACKED {
            bench.datagram(Where::Untracked(index), State::Bound)?;
        }
    }
    if streams_are_open(bench) {
        streams(bench, number, &mut datagrams)?;
    }
    while datagrams.send_next(bench)? {}
    lookups(bench, Experiment::Lookups4, Event::Route4, ends_early)?;
    lookups(bench, Experiment::Lookups6, Event::Route6, ends_early)
}

fn is_open<B: Bench>(bench: &B, experiment: Experiment) -> bool {
    let mut shown = SPECS.iter().filter(|spec| spec.experiment == experiment);
    shown.any(|spec| bench.is_open(spec.place))
}

/// TCP connections show round-trip times, and sockets in more states.
fn streams_are_open<B: Bench>(bench: &B) -> bool {
    is_open(bench, Experiment::Streams) || is_open(bench, Experiment::Sockets)
}

fn connections<B: Bench>(bench: &mut B, ends_early: bool) -> anyhow::Result<()> {
    let mut kinds = Nat::KINDS;
    bench.random().shuffle(&mut kinds);
    let kinds = kinds.into_iter().cycle().take(CONNECTIONS);
    for (index, nat) in kinds.enumerate() {
        if ends_early && !is_open(bench, Experiment::Connections) {
            break;
        }
        bench.connection(index % bench.tracking_sites(), nat)?;
    }
    Ok(())
}

/// The datagrams that are still to be sent.
#[derive(Default)]
struct Datagrams {
    states: Vec<State>,
    /// Ends early, once the fields of this experiment are decided.
    until: Option<Experiment>,
}

impl Datagrams {
    fn new<B: Bench>(bench: &mut B, times: &[(State, usize)], shows: Experiment) -> Self {
        let all = times.iter();
        let all = all.flat_map(|(state, times)| [*state].repeat(*times));
        let mut states: Vec<State> = all.collect();
        bench.random().shuffle(&mut states);
        let until = Some(shows);
        Self { states, until }
    }

    /// Sends the next one, each at another site, and returns whether there was one.
    fn send_next<B: Bench>(&mut self, bench: &mut B) -> anyhow::Result<bool> {
        if self.until.is_some_and(|until| !is_open(bench, until)) {
            return Ok(false);
        }
        let Some(state) = self.states.pop() else {
            return Ok(false);
        };
        bench.datagram(Where::Any(self.states.len()), state)?;
        Ok(true)
    }
}

fn streams<B: Bench>(bench: &mut B, number: u32, datagrams: &mut Datagrams) -> anyhow::Result<()> {
    let streams = (0..STREAMS).map(|index| bench.connect(index));
    let mut streams: Vec<B::Stream> = streams.collect::<anyhow::Result<_>>()?;
    bench.ask(&streams)?;
    for _ in 0..ANSWERS {
        if number > 0 && !streams_are_open(bench) {
            break;
        }
        let meanwhile = &mut |bench: &mut B| datagrams.send_next(bench);
        bench.round_trips(&mut streams, number, meanwhile)?;
    }
    for stream in &mut streams {
        bench.accepted(stream)?;
    }
    for (index, stream) in streams.into_iter().enumerate() {
        bench.keep(index, stream);
    }
    Ok(())
}

fn lookups<B: Bench>(
    bench: &mut B,
    experiment: Experiment,
    event: Event,
    ends_early: bool,
) -> anyhow::Result<()> {
    if !is_open(bench, experiment) {
        return Ok(());
    }
    let mut causes = [Cause::ALL; LOOKUPS].concat();
    bench.random().shuffle(&mut causes);
    for (index, cause) in causes.into_iter().enumerate() {
        if ends_early && !is_open(bench, experiment) {
            break;
        }
        bench.lookup(event, index, cause)?;
    }
    Ok(())
}

/// The kinds of sockets that the experiments will need.
pub fn socket_kinds(solver: &Solver) -> &'static [SocketKind] {
    const ALL: &[SocketKind] = &[
        SocketType::Datagram.of(Family::Inet),
        SocketType::Datagram.of(Family::Inet6),
        SocketType::Stream.of(Family::Inet),
        SocketType::Stream.of(Family::Inet6),
    ];
    let beside_connections = [Struct::Sock, Struct::Buffer, Struct::Flowi4, Struct::Flowi6];
    if beside_connections.iter().any(|other| solver.needs(*other)) {
        ALL
    } else {
        &ALL[..1]
    }
}
