//! Flows that meet in the table: one port, one tuple, one identifier of two; and two datagrams at once.

use std::hint;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread;

use super::super::event::GRE;
use super::super::event::Key;
use super::super::event::Layer4;
use super::super::event::Tuple;
use super::super::flow::Flow;
use super::super::flow::PORTS;
use super::super::flow::Place;
use super::super::said::Known;
use super::super::said::Made;
use super::super::said::Said;
use super::super::scene::CLIENT;
use super::super::scene::CLIENT_TOO;
use super::super::scene::Call;
use super::super::scene::MASQUERADED;
use super::super::scene::Scene;
use super::super::scene::mute_word;
use super::super::scene::word;
use super::super::servers::PORT;
use super::super::sockets;
use super::super::world::Space;
use super::oneway::sink;
use super::plain;

type Outcome = anyhow::Result<Made>;

/// Two addresses call one server from one port, as from the router: one gets another port.
pub fn same_port(scene: &Scene, flow: &Flow) -> Outcome {
    let mut said = Vec::new();
    for (number, from) in [CLIENT, CLIENT_TOO].into_iter().enumerate() {
        let call = Call::new(flow, Space::Client, from, MASQUERADED, PORT);
        let known = call.answered(scene, flow, &word(flow, number as u64))?;
        said.push(Said::one(call.key(flow), known));
    }
    Ok(said.into())
}

/// Two hosts with one address in two zones send from one port to nobody.
pub fn same_tuple(scene: &Scene, flow: &Flow) -> Outcome {
    let is_masqueraded = flow.choose(0, 2) == 0;
    let mut said = Vec::new();
    for (space, zone) in [(Space::Client, 0), (Space::Client2, 9)] {
        let call = Call {
            to: SocketAddr::new(sink(flow, is_masqueraded), PORT),
            ..Call::new(flow, space, CLIENT, CLIENT, PORT)
        };
        call.mute(scene, &[&mute_word(flow, 0)])?;
        let key = Key {
            zone,
            ..call.key(flow)
        };
        let mut known = Known::plain(key, false);
        if is_masqueraded {
            known.reply = None;
        }
        said.push(Said::one(key, known));
    }
    Ok(said.into())
}

/// Two addresses ping one server with one identifier, as from the router: one gets another identifier.
pub fn same_ping(scene: &Scene, flow: &Flow) -> Outcome {
    let mut said = Vec::new();
    for from in [CLIENT, CLIENT_TOO] {
        let mut one = plain::pinged(scene, flow, (Space::Client, from, MASQUERADED))?;
        one.lives[0].reply = None;
        said.push(one);
    }
    Ok(said.into())
}

/// Two addresses send GRE without keys to one address, as from the router: the second is dropped.
pub fn gre(scene: &Scene, flow: &Flow) -> Outcome {
    let (IpAddr::V4(to), router) = (sink(flow, true), Place("10.81.2.1", "")) else {
        anyhow::bail!("GRE is of IPv4 here");
    };
    let mut said = Vec::new();
    for from in [CLIENT, CLIENT_TOO] {
        let IpAddr::V4(src) = flow.address(from) else {
            anyhow::bail!("GRE is of IPv4 here");
        };
        let send = || sockets::encapsulate(src.octets(), to.octets());
        scene.world.at(Space::Client, send)?;
        let orig = Tuple {
            src: src.into(),
            dst: to.into(),
            layer4: Layer4::Nothing,
        };
        let key = Key {
            proto: GRE,
            orig,
            zone: 0,
        };
        let mut reply = orig.reversed();
        reply.dst = flow.address(router);
        said.push(match said.is_empty() {
            true => Said::one(key, Known::to(reply, false)),
            false => Said::nothing(key),
        });
    }
    Ok(said.into())
}

/// Two datagrams at once from one socket to a service with two backends. If the kernel translates each before it
/// confirms the other, both connections stay: one tuple, two replies.
pub fn clash(scene: &Scene, flow: &Flow) -> Outcome {
    // One more than what arrives at the rule for it: the router takes one off.
    const SLOW: i32 = 34;
    let mut said = Vec::new();
    for attempt in 0..PORTS {
        let from = flow.end(CLIENT, flow.port(attempt));
        let call = Call {
            from,
            ..Call::new(flow, Space::Client, CLIENT, Place("10.96.0.6", ""), PORT)
        };
        let open = || sockets::datagrams_with_ttl(from, SLOW);
        let socket = scene.world.at(Space::Client, open)?;
        let words = [0, 1].map(|half| word(flow, u64::from(2 * attempt) + half));
        send_at_once(&socket, call.to, &words)?;
        let mut replies = Vec::new();
        for word in &words {
            replies.push(scene.reply(word)?);
        }
        replies.dedup();
        let is_made = replies.len() == 2;
        said.push(Said {
            key: call.key(flow),
            lives: replies.into_iter().map(known_at_once).collect(),
            is_at_once: true,
        });
        if is_made {
            return Ok(said.into());
        }
    }
    Ok(Made {
        said,
        not_made: Some("no two datagrams met"),
    })
}

/// Which of the two the answers are counted for depends on the moment.
fn known_at_once(reply: Tuple) -> Known {
    Known {
        replied: None,
        ..Known::to(reply, true)
    }
}

fn send_at_once(socket: &UdpSocket, to: SocketAddr, words: &[String; 2]) -> anyhow::Result<()> {
    let ready = AtomicU32::new(0);
    let send = |word: &String| {
        ready.fetch_add(1, Ordering::SeqCst);
        while ready.load(Ordering::SeqCst) < 2 {
            hint::spin_loop();
        }
        socket.send_to(word.as_bytes(), to)
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| send(&words[0]));
        send(&words[1])?;
        other
            .join()
            .map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        Ok(())
    })
}
