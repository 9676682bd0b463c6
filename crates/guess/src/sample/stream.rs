//! TCP connections: a listener seen while it begins to listen, both ends of what it accepts, and
//! round-trip times that we decide, since the answer, and with it the acknowledgement, is sent when
//! a random time has passed.

use std::cell::Cell;
use std::hint;
use std::mem;
use std::net::SocketAddrV4;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use fastrand::Rng;
use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::socket::Backlog;
use nix::sys::socket::getsockopt;
use nix::sys::socket::listen;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt;
use rustix::net::SocketFlags;
use rustix::net::accept_with;

use super::options::QuickAck;
use super::options::round_trip_us;
use super::pool::SocketKind;
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

/// A handshake over loopback takes microseconds; a machine that takes longer than this is lost.
const PATIENCE_MS: u16 = 2000;
/// From so many microseconds the time to an answer is drawn at first.
const ANSWER_US: Range<u32> = 20..270;
/// Each further round draws from so many times as much: a kernel with a coarse clock sees short times
/// as none.
const LONGER: u32 = 4;
/// Then the kernel would acknowledge without an answer (`TCP_DELACK_MIN`).
const LONGEST_US: u32 = 30_000;
/// To be on time, a wait ends with so much of it awake.
const AWAKE: Duration = Duration::from_micros(200);

/// A connection and both its ends.
#[derive(Debug)]
pub struct Pair {
    /// Whether its families were drawn from several.
    draws_family: bool,
    /// Whether no sample of its client was taken yet.
    is_new: bool,
    client: Socket,
    server: Socket,
}

/// Listens, connects and accepts. Either end has the family that is drawn for it.
///
/// # Errors
/// If any of that fails.
pub fn connect(sampler: &mut Sampler<'_, '_>, site: &mut Site) -> anyhow::Result<Pair> {
    let [here, there] = [(); 2].map(|()| SocketKind {
        family: site.draw_family(sampler.random),
        socket_type: SocketType::Stream,
    });
    let listener = site.bound(there, sampler.random)?;
    let at = listener.address();
    watch_listen(sampler, &listener)?;
    let mut client = site.bound(here, sampler.random)?;
    meet(&mut client, at).context("connect over loopback")?;
    let mut server = site.adopt(accept(&listener)?, there.family, at, sampler.random)?;
    server.facts.peer = Some(client.address());
    if !site.has_inet6() {
        // The kernel mirrors addresses of connections if it was built with IPv6, in force or not.
        client.facts.mirrors = Some(true);
        server.facts.mirrors = Some(true);
    }
    for socket in [&client, &server] {
        setsockopt(&socket.fd, sockopt::TcpNoDelay, &true).context("set TCP_NODELAY")?;
    }
    site.keep(listener.fd);
    Ok(Pair {
        draws_family: site.has_inet6(),
        is_new: true,
        client,
        server,
    })
}

/// Connects; over loopback that is done at once, unless somebody drops the packets.
fn meet(client: &mut Socket, at: SocketAddrV4) -> anyhow::Result<()> {
    match client.connect(at) {
        Err(Errno::EINPROGRESS) => {
            let mut done = [PollFd::new(client.fd.as_fd(), PollFlags::POLLOUT)];
            if poll(&mut done, PollTimeout::from(PATIENCE_MS))? == 0 {
                bail!("no answer within two seconds");
            }
            let error = getsockopt(&client.fd, sockopt::SocketError)?;
            if error != 0 {
                return Err(Errno::from_raw(error).into());
            }
            client.facts.peer = Some(at);
        }
        connected => connected?,
    }
    Ok(())
}

/// Begins to listen; says whether that was seen.
///
/// # Errors
/// If it cannot.
pub fn listening(sampler: &mut Sampler<'_, '_>, site: &mut Site) -> anyhow::Result<bool> {
    let kind = SocketKind {
        family: Family::Inet,
        socket_type: SocketType::Stream,
    };
    let listener = site.bound(kind, sampler.random)?;
    watch_listen(sampler, &listener)
}

fn watch_listen(sampler: &mut Sampler<'_, '_>, listener: &Socket) -> anyhow::Result<bool> {
    let backlog = Backlog::new(16).context("a backlog")?;
    let listening = Cell::new(false);
    let seen = sampler.take(Trigger {
        name: format!("{:?} stream, listening", listener.facts.family),
        event: Event::SockState,
        unknown: &[],
        repeats: false,
        prepare: &mut |mark| listener.mark(mark),
        perform: &mut || {
            listening.set(true);
            listen(&listener.fd, backlog).context("listen")
        },
        expect: &mut |_| Some(socket::expected(&listener.facts, false)),
    })?;
    if !listening.get() {
        listen(&listener.fd, backlog).context("listen")?;
    }
    Ok(seen)
}

fn accept(listener: &Socket) -> anyhow::Result<OwnedFd> {
    let mut ready = [PollFd::new(listener.fd.as_fd(), PollFlags::POLLIN)];
    if poll(&mut ready, PollTimeout::from(PATIENCE_MS)).context("wait for a connection")? == 0 {
        bail!("no connection over loopback within two seconds");
    }
    accept_with(&listener.fd, SocketFlags::CLOEXEC).context("accept")
}

/// Has every client send a byte that is not answered yet.
///
/// # Errors
/// If one cannot.
pub fn ask(pairs: &[Pair]) -> anyhow::Result<()> {
    for pair in pairs {
        setsockopt(&pair.server.fd, QuickAck, &false).context("set TCP_QUICKACK")?;
        pair.client.send(b"?", None).context("send a byte")?;
    }
    Ok(())
}

/// Answers each client when a random time of its own has passed, in later rounds a longer one. Instead of
/// waiting it calls `meanwhile`, until that has nothing more to do.
///
/// # Errors
/// If a connection fails, or what is done meanwhile.
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
        (Duration::from_micros(wait_us.into()), &pair.server)
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
        setsockopt(&server.fd, QuickAck, &false).context("set TCP_QUICKACK")?;
    }
    Ok(())
}

/// Takes a sample of the end that connected; its byte asks anew.
///
/// # Errors
/// If it cannot send.
pub fn sample_client(sampler: &mut Sampler<'_, '_>, pair: &mut Pair) -> anyhow::Result<()> {
    let client = &mut pair.client;
    client.draw_options(sampler.random);
    let is_drawn = pair.draws_family && mem::take(&mut pair.is_new);
    let client = &*client;
    let wire = Ends {
        src: client.address(),
        dst: pair.server.address(),
    };
    // Times move by themselves: they count if they were the same before and after.
    let times = Cell::new(None);
    sampler.take(Trigger {
        name: format!("{:?} stream, connected", client.facts.family),
        event: Event::Packet,
        unknown: packet::MAY_BE_TRACKED,
        repeats: true,
        prepare: &mut |mark| client.mark(mark),
        perform: &mut || {
            let before = round_trip_us(&client.fd).context("get TCP_INFO")?;
            client.send(b"?", None).context("send a byte")?;
            let after = round_trip_us(&client.fd).context("get TCP_INFO")?;
            times.set((before == after).then_some(before));
            Ok(())
        },
        expect: &mut |_| {
            let (rtt_us, rttvar_us) = times.get()?;
            let mut all = socket::expected(&client.facts, is_drawn);
            all.extend(socket::round_trip(rtt_us, rttvar_us));
            all.extend(packet::expected(wire, client.option_words()));
            Some(all)
        },
    })?;
    Ok(())
}

/// Takes a sample of the end that was accepted.
///
/// # Errors
/// If it cannot send.
pub fn sample_server(sampler: &mut Sampler<'_, '_>, pair: &mut Pair) -> anyhow::Result<()> {
    pair.server.draw_options(sampler.random);
    let is_drawn = pair.draws_family;
    let server = &pair.server;
    let wire = Ends {
        src: server.address(),
        dst: pair.client.address(),
    };
    sampler.take(Trigger {
        name: format!("{:?} stream, accepted", server.facts.family),
        event: Event::Packet,
        unknown: packet::MAY_BE_TRACKED,
        repeats: true,
        prepare: &mut |mark| server.mark(mark),
        perform: &mut || server.send(b"!", None).context("send a byte"),
        expect: &mut |_| {
            let mut all = socket::expected(&server.facts, is_drawn);
            all.extend(packet::expected(wire, server.option_words()));
            Some(all)
        },
    })?;
    Ok(())
}

/// Leaves a connection to the ground.
pub fn leave(site: &mut Site, pair: Pair) {
    site.keep(pair.client.fd);
    site.keep(pair.server.fd);
}
