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

use super::camera::Act;
use super::camera::Camera;
use super::ground::Ground;
use super::options::QuickAck;
use super::options::round_trip_us;
use super::socket::Kind;
use super::socket::Manner;
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
pub fn connect(camera: &mut Camera<'_, '_>, ground: &mut Ground) -> anyhow::Result<Pair> {
    let [here, there] = [(); 2].map(|()| Kind {
        family: ground.draw_family(camera.random),
        manner: Manner::Stream,
    });
    let listener = Socket::bound(ground, there, camera.random)?;
    let at = listener.address();
    watch_listen(camera, &listener)?;
    let mut client = Socket::bound(ground, here, camera.random)?;
    meet(&mut client, at).context("connect over loopback")?;
    let mut server = Socket::of(accept(&listener)?, there.family, ground, at, camera.random)?;
    server.facts.peer = Some(client.address());
    if !ground.has_inet6() {
        // The kernel mirrors addresses of connections if it was built with IPv6, in force or not.
        client.facts.mirrors = Some(true);
        server.facts.mirrors = Some(true);
    }
    for socket in [&client, &server] {
        setsockopt(&socket.fd, sockopt::TcpNoDelay, &true).context("set TCP_NODELAY")?;
    }
    ground.keep(listener.fd);
    Ok(Pair {
        draws_family: ground.has_inet6(),
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
pub fn listening(camera: &mut Camera<'_, '_>, ground: &mut Ground) -> anyhow::Result<bool> {
    let kind = Kind {
        family: Family::Inet,
        manner: Manner::Stream,
    };
    let listener = Socket::bound(ground, kind, camera.random)?;
    watch_listen(camera, &listener)
}

fn watch_listen(camera: &mut Camera<'_, '_>, listener: &Socket) -> anyhow::Result<bool> {
    let backlog = Backlog::new(16).context("a backlog")?;
    let listening = Cell::new(false);
    let seen = camera.take(Act {
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

/// Answers each client when a random time of its own has passed, in later rounds a longer one, and takes
/// a sample of each then, whose byte asks anew. Instead of waiting it does something else `meanwhile`,
/// until that says that there is nothing more to do.
///
/// # Errors
/// If a connection fails, or what is done meanwhile.
pub fn round_trips<'a, 'obj>(
    camera: &mut Camera<'a, 'obj>,
    pairs: &mut [Pair],
    round: u32,
    meanwhile: &mut dyn FnMut(&mut Camera<'a, 'obj>) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let longest_us = ANSWER_US.end.saturating_mul(LONGER.saturating_pow(round));
    let mut due: Vec<(Duration, usize)> = (0..pairs.len())
        .map(|index| {
            let wait = camera
                .random
                .between(ANSWER_US.start, longest_us.min(LONGEST_US));
            (Duration::from_micros(wait.into()), index)
        })
        .collect();
    due.sort_unstable();
    for (wait, index) in due {
        while began.elapsed() < wait && meanwhile(camera)? {}
        let left = wait.saturating_sub(began.elapsed());
        if left > 2 * AWAKE {
            thread::sleep(left - AWAKE);
        }
        while began.elapsed() < wait {
            hint::spin_loop();
        }
        let server = &pairs[index].server;
        server.send(b"!", None).context("answer")?;
        // Or else the kernel may take the silence so far for a reason to acknowledge at once.
        setsockopt(&server.fd, QuickAck, &false).context("set TCP_QUICKACK")?;
    }
    for pair in pairs {
        sample_client(camera, pair)?;
    }
    Ok(())
}

fn sample_client(camera: &mut Camera<'_, '_>, pair: &mut Pair) -> anyhow::Result<()> {
    let client = &mut pair.client;
    client.draw_options(camera.random);
    let is_drawn = pair.draws_family && mem::take(&mut pair.is_new);
    let client = &*client;
    let wire = Ends {
        src: client.address(),
        dst: pair.server.address(),
    };
    // Times move by themselves: they count if they were the same before and after.
    let times = Cell::new(None);
    camera.take(Act {
        name: format!("{:?} stream, connected", client.facts.family),
        event: Event::Packet,
        unknown: packet::UNTRACKED,
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
pub fn sample_server(camera: &mut Camera<'_, '_>, pair: &mut Pair) -> anyhow::Result<()> {
    pair.server.draw_options(camera.random);
    let is_drawn = pair.draws_family;
    let server = &pair.server;
    let wire = Ends {
        src: server.address(),
        dst: pair.client.address(),
    };
    camera.take(Act {
        name: format!("{:?} stream, accepted", server.facts.family),
        event: Event::Packet,
        unknown: packet::UNTRACKED,
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
pub fn leave(ground: &mut Ground, pair: Pair) {
    ground.keep(pair.client.fd);
    ground.keep(pair.server.fd);
}
