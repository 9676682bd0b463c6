//! A tuple that is used again after its connection has ended: another connection, to the same backend or another one.

use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use super::super::flow::Flow;
use super::super::said::Known;
use super::super::said::Made;
use super::super::said::Said;
use super::super::scene::CHOSEN_SERVICE;
use super::super::scene::CLIENT;
use super::super::scene::Call;
use super::super::scene::Scene;
use super::super::scene::UPLINK;
use super::super::scene::mute_word;
use super::super::scene::word;
use super::super::servers::PORT;
use super::super::sockets;
use super::super::world::Space;

type Outcome = anyhow::Result<Made>;

/// Two backends of a service, by number.
fn backend(flow: &Flow, number: u64) -> &'static str {
    match (flow.is_v6, number % 2) {
        (false, 0) => "10.81.3.4",
        (false, _) => "10.81.3.5",
        (true, 0) => "fd81:3::4",
        (true, _) => "fd81:3::5",
    }
}

/// From now on, calls from the flow's first port go to this backend.
fn choose_backend(scene: &Scene, flow: &Flow, number: u64) {
    let map = if flow.is_v6 { "backend6" } else { "backend4" };
    let (port, backend) = (flow.port(0), backend(flow, number));
    scene.world.rules(&format!(
        "add element inet world {map} {{ {port} : {backend} }}\n"
    ));
}

fn forget_backend(scene: &Scene, flow: &Flow) {
    let map = if flow.is_v6 { "backend6" } else { "backend4" };
    let port = flow.port(0);
    scene
        .world
        .rules(&format!("delete element inet world {map} {{ {port} }}\n"));
}

/// Lets the last connection of the flow expire. Time is what ends it, so there is nothing else to wait for: to look
/// into the table would remove it.
fn outlive(scene: &Scene, flow: &Flow, call: u64) {
    let more = Duration::from_millis(20 + 50 * flow.choose(call as u32, 6));
    thread::sleep(scene.world.expiry + more);
}

/// Datagrams from one port, each after the connection of the last one has expired.
fn expired(scene: &Scene, flow: &Flow, step: u64) -> Outcome {
    let call = Call::new(flow, Space::Client, CLIENT, CHOSEN_SERVICE, PORT);
    let mut lives = Vec::new();
    for number in 0..2 + flow.choose(0, 2) {
        if number > 0 {
            outlive(scene, flow, number);
            forget_backend(scene, flow);
        }
        choose_backend(scene, flow, number * step);
        let word = mute_word(flow, number);
        call.mute(scene, &[&word])?;
        lives.push(Known::to(scene.reply(&word)?, false));
    }
    Ok(Said::these(call.key(flow), lives).into())
}

/// Expires and begins anew, to the other backend.
pub fn reborn_other(scene: &Scene, flow: &Flow) -> Outcome {
    expired(scene, flow, 1)
}

/// Expires and begins anew, to the same backend.
pub fn reborn_same(scene: &Scene, flow: &Flow) -> Outcome {
    expired(scene, flow, 2)
}

/// TCP from one port again and again, reset each time, to one backend and the other.
fn reused(scene: &Scene, flow: &Flow, call: Call) -> Outcome {
    let mut lives = Vec::new();
    let mut last = None;
    for number in 0..2 + flow.choose(0, 4) {
        if number > 0 {
            forget_backend(scene, flow);
        }
        choose_backend(scene, flow, (flow.choose(1, 2) + number) % 2);
        let word = word(flow, number);
        let connect = || sockets::call(call.from, call.to, None, sockets::PATIENCE);
        let mut stream = scene.world.at(call.space, connect)?;
        sockets::converse(&mut stream, &word).with_context(|| format!("echo {number}"))?;
        sockets::reset(stream)?;
        // If the reset came late, the kernel goes on with the old connection, and so with its backend.
        let reply = scene.reply(&word)?;
        if last != Some(reply) {
            lives.push(Known::to(reply, true));
        }
        last = Some(reply);
    }
    Ok(Said::these(call.key(flow), lives).into())
}

/// By the client.
pub fn tcp_reused(scene: &Scene, flow: &Flow) -> Outcome {
    let call = Call::new(flow, Space::Client, CLIENT, CHOSEN_SERVICE, PORT);
    reused(scene, flow, call)
}

/// By the router itself: no reply is transmitted.
pub fn tcp_reused_out(scene: &Scene, flow: &Flow) -> Outcome {
    let call = Call::new(flow, Space::Router, UPLINK, CHOSEN_SERVICE, PORT);
    reused(scene, flow, call)
}

fn delete(scene: &Scene, flow: &Flow, call: &Call) {
    let family = if flow.is_v6 { "ipv6" } else { "ipv4" };
    let (src, port) = (call.from.ip().to_string(), call.from.port().to_string());
    let words = ["-f", family, "-p", "udp", "-s", &src, "--sport", &port];
    scene.world.delete(&words);
}

/// Deleted by hand and born at once: to the other backend, or to any backend and answered.
pub fn deleted_reborn(scene: &Scene, flow: &Flow) -> Outcome {
    let call = Call::new(flow, Space::Client, CLIENT, CHOSEN_SERVICE, PORT);
    let is_answered = flow.choose(0, 2) == 0;
    let mut lives = Vec::new();
    for number in 0..2 + flow.choose(1, 3) {
        if number > 0 {
            delete(scene, flow, &call);
            forget_backend(scene, flow);
        }
        if is_answered {
            choose_backend(scene, flow, flow.choose(2 + number as u32, 2));
            lives.push(call.answered(scene, flow, &word(flow, number))?);
        } else {
            choose_backend(scene, flow, number);
            let word = mute_word(flow, number);
            call.mute(scene, &[&word])?;
            lives.push(Known::to(scene.reply(&word)?, false));
        }
    }
    Ok(Said::these(call.key(flow), lives).into())
}

/// Deleted by hand and born at once to the same backend, which does not answer.
pub fn deleted_at_once(scene: &Scene, flow: &Flow) -> Outcome {
    let call = Call::new(flow, Space::Client, CLIENT, CHOSEN_SERVICE, PORT);
    choose_backend(scene, flow, 0);
    let mut lives = Vec::new();
    for number in 0..2 + flow.choose(1, 3) {
        if number > 0 {
            delete(scene, flow, &call);
        }
        let word = mute_word(flow, number);
        call.mute(scene, &[&word])?;
        lives.push(Known::to(scene.reply(&word)?, false));
    }
    Ok(Said::these(call.key(flow), lives).into())
}
