//! Calls that come to nothing: refused before the kernel confirms a connection, or by the one who is called.

use std::time::Duration;

use super::super::flow::Flow;
use super::super::flow::Place;
use super::super::said::Known;
use super::super::said::Made;
use super::super::said::Said;
use super::super::scene::CLIENT;
use super::super::scene::CLOSED;
use super::super::scene::Call;
use super::super::scene::LOOPBACK;
use super::super::scene::PLAIN;
use super::super::scene::ROUTER;
use super::super::scene::SERVICE;
use super::super::scene::Scene;
use super::super::scene::UPLINK;
use super::super::scene::mute_word;
use super::super::servers::PORT;
use super::super::sockets;
use super::super::world::Space;

type Outcome = anyhow::Result<Made>;

/// For a call that nobody answers; less than a second, after which TCP would try again.
pub const SHORT: Duration = Duration::from_millis(300);

/// Calls so many times from one port; nobody may answer.
fn attempt(
    scene: &Scene,
    flow: &Flow,
    call: Call,
    ttl: Option<i32>,
    times: u64,
) -> anyhow::Result<()> {
    for time in 0..times {
        if flow.is_tcp {
            let connect = || Ok(sockets::call(call.from, call.to, ttl, SHORT).is_ok());
            anyhow::ensure!(!scene.world.at(call.space, connect)?, "it was answered");
        } else if let Some(ttl) = ttl {
            let open = || sockets::datagrams_with_ttl(call.from, ttl);
            let socket = scene.world.at(call.space, open)?;
            let _ = socket.send_to(mute_word(flow, time).as_bytes(), call.to);
        } else {
            call.mute(scene, &[&mute_word(flow, time)])?;
        }
    }
    Ok(())
}

/// It never becomes a connection, however often it is tried.
fn nothing(scene: &Scene, flow: &Flow, call: Call, ttl: Option<i32>) -> Outcome {
    attempt(scene, flow, call, ttl, 1 + flow.choose(0, 3))?;
    Ok(Said::nothing(call.key(flow)).into())
}

fn of_client(flow: &Flow, to: Place, port: u16) -> Call {
    Call::new(flow, Space::Client, CLIENT, to, port)
}

/// Rejected on the way by a reset, or by a message for UDP.
pub fn reject_reset(scene: &Scene, flow: &Flow) -> Outcome {
    nothing(scene, flow, of_client(flow, PLAIN, 7201), None)
}

/// Rejected on the way by a message.
pub fn reject_icmp(scene: &Scene, flow: &Flow) -> Outcome {
    nothing(scene, flow, of_client(flow, PLAIN, 7202), None)
}

/// Rejected at the router's own door.
pub fn reject_in(scene: &Scene, flow: &Flow) -> Outcome {
    nothing(scene, flow, of_client(flow, ROUTER, 7204), None)
}

/// Rejected when the router itself calls.
pub fn reject_out(scene: &Scene, flow: &Flow) -> Outcome {
    let call = Call::new(flow, Space::Router, UPLINK, PLAIN, 7206);
    nothing(scene, flow, call, None)
}

/// Dropped on the way.
pub fn drop_forward(scene: &Scene, flow: &Flow) -> Outcome {
    nothing(scene, flow, of_client(flow, PLAIN, 7203), None)
}

/// Dropped at the router's own door.
pub fn drop_in(scene: &Scene, flow: &Flow) -> Outcome {
    nothing(scene, flow, of_client(flow, ROUTER, 7205), None)
}

/// Its TTL expires at the router, translated or not.
pub fn ttl(scene: &Scene, flow: &Flow) -> Outcome {
    let to = if flow.choose(1, 2) == 0 {
        PLAIN
    } else {
        SERVICE
    };
    nothing(scene, flow, of_client(flow, to, PORT), Some(1))
}

/// The router's route is unreachable, prohibited, or drops.
pub fn unreachable(scene: &Scene, flow: &Flow) -> Outcome {
    let to = match flow.choose(1, 3) {
        0 => Place("10.81.6.1", "fd81:6::1"),
        1 => Place("10.81.7.1", "fd81:7::1"),
        _ => Place("10.81.8.1", "fd81:8::1"),
    };
    nothing(scene, flow, of_client(flow, to, PORT), None)
}

/// The kernel confirms each of these, and the refusal ends it.
fn closed(scene: &Scene, flow: &Flow, call: Call, times: u64) -> Outcome {
    attempt(scene, flow, call, None, times)?;
    let key = call.key(flow);
    let known = Known {
        // A reset is a reply, which the kernel may or may not have noted when it ends the connection.
        replied: (!flow.is_tcp).then_some(false),
        ..Known::plain(key, false)
    };
    Ok(Said::these(key, vec![known; times as usize]).into())
}

/// No such port at the router.
pub fn closed_here(scene: &Scene, flow: &Flow) -> Outcome {
    closed(scene, flow, of_client(flow, ROUTER, CLOSED), 1)
}

/// No such port at the server.
pub fn closed_behind(scene: &Scene, flow: &Flow) -> Outcome {
    closed(scene, flow, of_client(flow, PLAIN, CLOSED), 1)
}

/// The router calls itself again and again from one port, and each refusal is transmitted.
pub fn closed_loopback(scene: &Scene, flow: &Flow) -> Outcome {
    let call = Call::new(flow, Space::Router, LOOPBACK, LOOPBACK, CLOSED);
    closed(scene, flow, call, 1 + flow.choose(0, 3))
}

/// The router calls the server again at once from one port, and each refusal is only received.
pub fn refused_again(scene: &Scene, flow: &Flow) -> Outcome {
    let call = Call::new(flow, Space::Router, UPLINK, PLAIN, CLOSED);
    closed(scene, flow, call, 2 + flow.choose(0, 3))
}
