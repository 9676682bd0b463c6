//! TCP connections: a listener seen when it begins to listen, both ends of the connection that it
//! accepts, and round-trip times that we control: the server answers, and so acknowledges, after a random
//! time.

use std::hint;
use std::mem;
use std::mem::offset_of;
use std::net::SocketAddrV4;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use fastrand::Rng;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::GetStruct;
use rustix::io::Errno;
use rustix::net;
use rustix::net::SocketFlags;
use rustix::net::sockopt;

use super::pool::SocketType;
use super::sampler::Sampler;
use super::sampler::Trigger;
use super::site::Site;
use super::socket::Socket;
use crate::expected::Ends;
use crate::expected::packet;
use crate::expected::socket;
use crate::expected::socket::Family;
use crate::fields::Event;

/// A handshake over loopback takes microseconds; a machine that takes longer than this has stalled.
const PATIENCE_MS: u16 = 2000;
/// How many connections wait to be accepted at most.
const BACKLOG: i32 = 16;
/// In the first round, the time to an answer is drawn from this range.
const ANSWER_US: Range<u32> = 20..270;
/// Each further round multiplies the longest time by this: a kernel with a coarse clock measures short
/// times as zero.
const LONGER: u32 = 4;
/// After a longer time the kernel would acknowledge without an answer (`TCP_DELACK_MIN`).
const LONGEST_US: u32 = 30_000;
/// The last part of a wait is spent awake, so that the answer is punctual.
const AWAKE: Duration = Duration::from_micros(200);

/// The beginning of `struct tcp_info`, which every kernel has. Newer kernels have more of it, and an old
/// one returns less than is asked for.
#[derive(Clone, Copy)]
struct TcpInfo;
const RTT_WORD: usize = offset_of!(libc::tcp_info, tcpi_rtt) / 4;
const RTTVAR_WORD: usize = offset_of!(libc::tcp_info, tcpi_rttvar) / 4;
nix::getsockopt_impl!(
    TcpInfo,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    [u32; RTTVAR_WORD + 1],
    GetStruct<[u32; RTTVAR_WORD + 1]>
);

/// A connection with both its ends.
#[derive(Debug)]
pub struct Pair {
    client: End,
    server: End,
}

/// One end of a connection.
#[derive(Debug)]
struct End {
    socket: Socket,
    /// Whether its family was drawn and no sample has counted it yet.
    is_drawn: bool,
}

/// Listens, connects and accepts. The family of each end is drawn.
///
/// # Errors
/// If any of that fails.
pub fn connect(sampler: &mut Sampler<'_, '_>, site: &mut Site) -> anyhow::Result<Pair> {
    let [here, there] = [(); 2].map(|()| SocketType::Stream.of(site.draw_family(sampler.random)));
    let listener = site.bound(there, sampler.random)?;
    let at = listener.facts.address();
    watch_listen(sampler, &listener)?;
    let mut client = site.bound(here, sampler.random)?;
    handshake(&mut client, at).context("connect over loopback")?;
    let mut server = site.adopt(accept(&listener)?, there.family, at, sampler.random)?;
    server.facts.peer = Some(client.facts.address());
    for socket in [&mut client, &mut server] {
        // A kernel that was built with IPv6 mirrors the addresses of connections, in force or not.
        socket.facts.mirrors |= !site.has_inet6();
        sockopt::set_tcp_nodelay(&socket.fd, true).context("set TCP_NODELAY")?;
    }
    site.keep(listener.fd);
    let is_drawn = site.has_inet6();
    let [client, server] = [client, server].map(|socket| End { socket, is_drawn });
    Ok(Pair { client, server })
}

/// Connects. Over loopback that is done at once, unless packets are dropped.
fn handshake(client: &mut Socket, at: SocketAddrV4) -> anyhow::Result<()> {
    match client.connect(at) {
        Err(Errno::INPROGRESS) => {
            let is_done = wait_for(&client.fd, PollFlags::POLLOUT)?;
            ensure!(is_done, "no answer within two seconds");
            sockopt::socket_error(&client.fd)??;
            client.facts.peer = Some(at);
            Ok(())
        }
        connected => Ok(connected?),
    }
}

fn accept(listener: &Socket) -> anyhow::Result<OwnedFd> {
    let is_there = wait_for(&listener.fd, PollFlags::POLLIN).context("wait for a connection")?;
    ensure!(is_there, "no connection over loopback within two seconds");
    net::accept_with(&listener.fd, SocketFlags::CLOEXEC).context("accept")
}

/// Waits for one of these events, and returns whether it came in time.
fn wait_for(socket: &OwnedFd, events: PollFlags) -> nix::Result<bool> {
    let mut wanted = [PollFd::new(socket.as_fd(), events)];
    Ok(poll(&mut wanted, PollTimeout::from(PATIENCE_MS))? > 0)
}

/// Begins to listen, and returns whether that was seen.
///
/// # Errors
/// If that fails.
pub fn listening(sampler: &mut Sampler<'_, '_>, site: &mut Site) -> anyhow::Result<bool> {
    let listener = site.bound(SocketType::Stream.of(Family::Inet), sampler.random)?;
    watch_listen(sampler, &listener)
}

fn watch_listen(sampler: &mut Sampler<'_, '_>, listener: &Socket) -> anyhow::Result<bool> {
    let name = format!("{:?} stream, listening", listener.facts.family);
    let trigger = Trigger {
        event: Event::SockState,
        repeats: false,
        ..Trigger::packet(name, &listener.fd)
    };
    let mut is_listening = false;
    let mut listen = || {
        is_listening = true;
        net::listen(&listener.fd, BACKLOG).context("listen")
    };
    let expect = |_, ()| Some(socket::expected(&listener.facts, false));
    let is_seen = sampler.take(trigger, &mut listen, expect)?;
    if !is_listening {
        net::listen(&listener.fd, BACKLOG).context("listen")?;
    }
    Ok(is_seen)
}

/// Makes every client send a byte that is not answered yet.
///
/// # Errors
/// If one cannot.
pub fn ask(pairs: &[Pair]) -> anyhow::Result<()> {
    for pair in pairs {
        delay_acknowledgements(&pair.server.socket)?;
        pair.client.socket.send(b"?", None).context("send a byte")?;
    }
    Ok(())
}

fn delay_acknowledgements(server: &Socket) -> anyhow::Result<()> {
    sockopt::set_tcp_quickack(&server.fd, false).context("set TCP_QUICKACK")
}

/// Answers each client after a random time of its own, which is longer in later rounds. While it waits,
/// it calls `meanwhile`, until that has nothing more to do.
///
/// # Errors
/// If a connection or `meanwhile` fails.
pub fn answer(
    pairs: &[Pair],
    round: u32,
    mut random: Rng,
    mut meanwhile: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let longest_us = ANSWER_US.end.saturating_mul(LONGER.saturating_pow(round));
    let answers_us = ANSWER_US.start..longest_us.min(LONGEST_US);
    let due = pairs.iter().map(|pair| {
        let wait_us = random.u32(answers_us.clone());
        (Duration::from_micros(wait_us.into()), &pair.server.socket)
    });
    let mut due: Vec<(Duration, &Socket)> = due.collect();
    due.sort_unstable_by_key(|(wait, _)| *wait);
    for (wait, server) in due {
        while began.elapsed() < wait && meanwhile()? {}
        let left = wait.saturating_sub(began.elapsed());
        if left > 2 * AWAKE {
            thread::sleep(left - AWAKE);
        }
        while began.elapsed() < wait {
            hint::spin_loop();
        }
        server.send(b"!", None).context("answer")?;
        // Otherwise the kernel may take the silence so far as a reason to acknowledge at once.
        delay_acknowledgements(server)?;
    }
    Ok(())
}

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The end that connected. Its sample shows round-trip times, and its byte is the next question.
    Client,
    /// The end that was accepted.
    Server,
}

/// Takes a sample of one end, which sends a byte.
///
/// # Errors
/// If it cannot send.
pub fn sample(sampler: &mut Sampler<'_, '_>, pair: &mut Pair, side: Side) -> anyhow::Result<()> {
    let Pair { client, server } = pair;
    let (end, peer) = match side {
        Side::Client => (client, server.socket.facts.address()),
        Side::Server => (server, client.socket.facts.address()),
    };
    end.socket.draw_options(sampler.random);
    let is_drawn = mem::take(&mut end.is_drawn);
    let sender = &end.socket;
    let wire = Ends {
        src: sender.facts.address(),
        dst: peer,
    };
    let name = format!("{:?} stream, {side:?}", sender.facts.family);
    let trigger = Trigger {
        unknown: packet::MAY_BE_TRACKED,
        ..Trigger::packet(name, &sender.fd)
    };
    let times = || {
        let info = (side == Side::Client).then(|| getsockopt(&sender.fd, TcpInfo));
        info.transpose().context("get TCP_INFO")
    };
    let transmit = || {
        let before = times()?;
        sender.send(b"?", None).context("send a byte")?;
        Ok((before, times()?))
    };
    sampler.take(trigger, transmit, |_, (before, after)| {
        let mut all = socket::expected(&sender.facts, is_drawn);
        all.extend(packet::expected(wire, sender.option_words));
        let Some((before, after)) = before.zip(after) else {
            return Some(all);
        };
        // Times change on their own: they count if they were the same before and after.
        let words = [RTT_WORD, RTTVAR_WORD];
        let [rtt_us, rttvar_us] = words.map(|word| before[word]);
        all.extend(socket::round_trip(rtt_us, rttvar_us));
        (words.map(|word| after[word]) == [rtt_us, rttvar_us]).then_some(all)
    })?;
    Ok(())
}

/// Keeps a connection open as long as its site.
pub fn keep(site: &mut Site, pair: Pair) {
    site.keep(pair.client.socket.fd);
    site.keep(pair.server.socket.fd);
}
