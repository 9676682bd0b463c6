//! Connections that the kernel begins in an unusual way: not at the first packet, or by an expectation.

use std::net::SocketAddr;

use anyhow::Context as _;

use super::super::flow::Flow;
use super::super::said::Known;
use super::super::said::Made;
use super::super::said::Said;
use super::super::scene::CLIENT;
use super::super::scene::Call;
use super::super::scene::PLAIN;
use super::super::scene::SERVICE;
use super::super::scene::Scene;
use super::super::scene::tuple;
use super::super::scene::word;
use super::super::servers;
use super::super::sockets;
use super::super::world::Space;

type Outcome = anyhow::Result<Made>;

fn asked(scene: &Scene, flow: &Flow, port: u16) -> anyhow::Result<Call> {
    let call = Call::new(flow, Space::Client, CLIENT, PLAIN, port);
    call.answered(scene, flow, &word(flow, 0))?;
    Ok(call)
}

/// The reply is not tracked: the connection never learns of it.
pub fn notrack_reply(scene: &Scene, flow: &Flow) -> Outcome {
    let key = asked(scene, flow, 7401)?.key(flow);
    Ok(Said::one(key, Known::plain(key, false)).into())
}

/// The request is not tracked: the reply begins the connection.
pub fn notrack_original(scene: &Scene, flow: &Flow) -> Outcome {
    let call = asked(scene, flow, 7402)?;
    let mut key = call.key(flow);
    let requested = Said::nothing(key);
    key.orig = key.orig.reversed();
    Ok(vec![requested, Said::one(key, Known::plain(key, false))].into())
}

/// The router answers in the server's place until the caller proves that it is there.
pub fn synproxy(scene: &Scene, flow: &Flow) -> Outcome {
    let call = Call::new(flow, Space::Client, CLIENT, PLAIN, servers::SYNPROXY);
    let known = call.answered(scene, flow, &word(flow, 0))?;
    Ok(Said::one(call.key(flow), known).into())
}

/// A request for a file, whose answer comes from another port, as the helper for TFTP expects.
pub fn expectation(scene: &Scene, flow: &Flow) -> Outcome {
    let to = if flow.choose(0, 2) == 0 {
        PLAIN
    } else {
        SERVICE
    };
    let call = Call::new(flow, Space::Client, CLIENT, to, 69);
    let word = word(flow, 0);
    let socket = scene
        .world
        .at(Space::Client, || sockets::datagrams(call.from))?;
    let request = [b"\0\x01", word.as_bytes(), b"\0octet\0"].concat();
    socket.send_to(&request, call.to)?;
    let mut data = [0; 16];
    socket.recv_from(&mut data).context("the file")?;
    let served = scene.served(&word)?;
    let asked = SocketAddr::new(served.server.ip(), call.to.port());
    let request = Known::to(tuple(asked, call.from), false);
    let mut expected = call.key(flow);
    expected.orig = tuple(served.server, served.caller);
    let file = Known {
        // Which port the router takes for it is the helper's affair.
        reply: None,
        ..Known::plain(expected, false)
    };
    Ok(vec![
        Said::one(call.key(flow), request),
        Said::one(expected, file),
    ]
    .into())
}
