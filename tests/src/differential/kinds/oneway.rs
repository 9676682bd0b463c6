//! Packets that nobody answers, and that are no error: one connection each, which expires.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use super::super::flow::Flow;
use super::super::flow::Place;
use super::super::said::Known;
use super::super::said::Made;
use super::super::said::Said;
use super::super::scene::CLIENT;
use super::super::scene::Call;
use super::super::scene::ROUTER;
use super::super::scene::Scene;
use super::super::scene::UPLINK;
use super::super::scene::mute_word;
use super::super::servers::PORT;
use super::super::sockets;
use super::super::world::Space;
use super::refused::SHORT;

type Outcome = anyhow::Result<Made>;

/// An address behind the server that drops everything; no other flow calls it. The router masquerades what goes to the
/// upper half of those of IPv4.
pub fn sink(flow: &Flow, is_masqueraded: bool) -> IpAddr {
    let [high, low] = (flow.number as u16).to_be_bytes();
    if flow.is_v6 {
        return Ipv6Addr::new(0xfd84, 0, 0, 0, 0, 0, 1, flow.number as u16).into();
    }
    let half = if is_masqueraded { 128 } else { 0 };
    Ipv4Addr::new(10, 84, half | high, low).into()
}

fn unanswered(scene: &Scene, flow: &Flow, call: Call) -> Outcome {
    if flow.is_tcp {
        let connect = || Ok(sockets::call(call.from, call.to, None, SHORT).is_ok());
        anyhow::ensure!(!scene.world.at(call.space, connect)?, "it was answered");
    } else {
        // More than one packet is still one connection.
        let words: Vec<String> = (0..=flow.choose(0, 3))
            .map(|n| mute_word(flow, n))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        call.mute(scene, &words)?;
    }
    let key = call.key(flow);
    Ok(Said::one(key, Known::plain(key, false)).into())
}

/// Client to nobody, translated or not.
pub fn one_way(scene: &Scene, flow: &Flow) -> Outcome {
    let is_masqueraded = !flow.is_v6 && flow.choose(1, 2) == 0;
    let to = SocketAddr::new(sink(flow, is_masqueraded), PORT);
    let call = Call {
        to,
        ..Call::new(flow, Space::Client, CLIENT, CLIENT, PORT)
    };
    let mut made = unanswered(scene, flow, call)?;
    if is_masqueraded {
        // No server saw its port.
        made.said[0].lives[0].reply = None;
    }
    Ok(made)
}

/// Router to nobody.
pub fn one_way_out(scene: &Scene, flow: &Flow) -> Outcome {
    let call = Call {
        to: SocketAddr::new(sink(flow, false), PORT),
        ..Call::new(flow, Space::Router, UPLINK, UPLINK, PORT)
    };
    unanswered(scene, flow, call)
}

/// Client to a quiet server of the router.
pub fn one_way_in(scene: &Scene, flow: &Flow) -> Outcome {
    let made = unanswered(
        scene,
        flow,
        Call::new(flow, Space::Client, CLIENT, ROUTER, PORT),
    )?;
    scene.served(&mute_word(flow, 0))?;
    Ok(made)
}

/// Client to everyone in its network.
pub fn broadcast_in(scene: &Scene, flow: &Flow) -> Outcome {
    let everyone = Place("10.81.1.255", "");
    unanswered(
        scene,
        flow,
        Call::new(flow, Space::Client, CLIENT, everyone, PORT),
    )
}

/// Router to everyone in the server's network.
pub fn broadcast_out(scene: &Scene, flow: &Flow) -> Outcome {
    let everyone = Place("10.81.2.255", "");
    unanswered(
        scene,
        flow,
        Call::new(flow, Space::Router, UPLINK, everyone, PORT),
    )
}

/// Router to a group.
pub fn multicast_out(scene: &Scene, flow: &Flow) -> Outcome {
    let group = Place("239.81.0.1", "");
    unanswered(
        scene,
        flow,
        Call::new(flow, Space::Router, UPLINK, group, PORT),
    )
}
