//! Calls that are answered, in each direction and with each translation: one connection each.

use std::time::Duration;
use std::time::Instant;

use super::super::event::ICMP;
use super::super::event::ICMPV6;
use super::super::event::Key;
use super::super::event::Layer4;
use super::super::event::Tuple;
use super::super::flow::Flow;
use super::super::flow::Place;
use super::super::said::Known;
use super::super::said::Made;
use super::super::said::Said;
use super::super::scene::CLIENT;
use super::super::scene::Call;
use super::super::scene::HERE;
use super::super::scene::LOOPBACK;
use super::super::scene::MASQUERADED;
use super::super::scene::MASQUERADED_SERVICE;
use super::super::scene::PLAIN;
use super::super::scene::ROUTER;
use super::super::scene::SERVICE;
use super::super::scene::SNATTED;
use super::super::scene::Scene;
use super::super::scene::UPLINK;
use super::super::scene::word;
use super::super::servers::PORT;
use super::super::sockets;
use super::super::world::Space;

type Outcome = anyhow::Result<Made>;

fn one(scene: &Scene, flow: &Flow, call: Call) -> Outcome {
    let known = call.answered(scene, flow, &word(flow, 0))?;
    Ok(Said::one(call.key(flow), known).into())
}

fn of_client(scene: &Scene, flow: &Flow, to: Place, port: u16) -> Outcome {
    one(
        scene,
        flow,
        Call::new(flow, Space::Client, CLIENT, to, port),
    )
}

/// Client to server, not translated.
pub fn forwarded(scene: &Scene, flow: &Flow) -> Outcome {
    of_client(scene, flow, PLAIN, PORT)
}

/// Router to server.
pub fn outbound(scene: &Scene, flow: &Flow) -> Outcome {
    one(
        scene,
        flow,
        Call::new(flow, Space::Router, UPLINK, PLAIN, PORT),
    )
}

/// Client to router.
pub fn inbound(scene: &Scene, flow: &Flow) -> Outcome {
    of_client(scene, flow, ROUTER, PORT)
}

/// Router to itself.
pub fn loopback(scene: &Scene, flow: &Flow) -> Outcome {
    one(
        scene,
        flow,
        Call::new(flow, Space::Router, LOOPBACK, LOOPBACK, PORT),
    )
}

/// Client to a service whose backend is the server.
pub fn dnat(scene: &Scene, flow: &Flow) -> Outcome {
    of_client(scene, flow, SERVICE, PORT)
}

/// Router to that service.
pub fn outbound_dnat(scene: &Scene, flow: &Flow) -> Outcome {
    one(
        scene,
        flow,
        Call::new(flow, Space::Router, UPLINK, SERVICE, PORT),
    )
}

/// Client to server, as from another address of the router.
pub fn snat(scene: &Scene, flow: &Flow) -> Outcome {
    of_client(scene, flow, SNATTED, PORT)
}

/// Client to server, as from the router's uplink.
pub fn masquerade(scene: &Scene, flow: &Flow) -> Outcome {
    of_client(scene, flow, MASQUERADED, PORT)
}

/// Client to a service, as from the router's uplink.
pub fn dnat_masquerade(scene: &Scene, flow: &Flow) -> Outcome {
    of_client(scene, flow, MASQUERADED_SERVICE, PORT)
}

/// Client to a service that the router itself serves.
pub fn redirect(scene: &Scene, flow: &Flow) -> Outcome {
    of_client(scene, flow, HERE, PORT)
}

/// Client to a service of the router whose backend is in the client's own network.
pub fn hairpin(scene: &Scene, flow: &Flow) -> Outcome {
    of_client(scene, flow, ROUTER, 7600)
}

fn in_zone(scene: &Scene, flow: &Flow, port: u16, zone: u16) -> Outcome {
    let mut made = of_client(scene, flow, PLAIN, port)?;
    made.said[0].key.zone = zone;
    Ok(made)
}

/// Both directions in a zone.
pub fn zone(scene: &Scene, flow: &Flow) -> Outcome {
    in_zone(scene, flow, 7301, 7)
}

/// The original direction alone in a zone.
pub fn zone_original(scene: &Scene, flow: &Flow) -> Outcome {
    in_zone(scene, flow, 7302, 8)
}

fn marked(scene: &Scene, flow: &Flow, port: u16, mark: u32) -> Outcome {
    let mut made = of_client(scene, flow, PLAIN, port)?;
    made.said[0].lives[0].mark = Some(mark);
    Ok(made)
}

/// Its first packet sets a mark.
pub fn mark(scene: &Scene, flow: &Flow) -> Outcome {
    marked(scene, flow, 7101, 0x11)
}

/// Its first packet sets a mark, its reply another.
pub fn mark_changed(scene: &Scene, flow: &Flow) -> Outcome {
    marked(scene, flow, 7102, 0x22)
}

/// Datagrams in fragments, both ways.
pub fn fragments(scene: &Scene, flow: &Flow) -> Outcome {
    let call = Call::new(flow, Space::Client, CLIENT, PLAIN, PORT);
    let word = word(flow, 0);
    let length = 2_000 + flow.choose(0, 4_000) as usize;
    let long = format!("{word} {}", "x".repeat(length));
    let socket = scene
        .world
        .at(Space::Client, || sockets::datagrams(call.from))?;
    sockets::ask(&socket, call.to, &long)?;
    let known = Known::to(scene.reply(&word)?, true);
    Ok(Said::one(call.key(flow), known).into())
}

/// Datagrams both ways for so long that the kernel calls them a stream and protects them.
pub fn stream(scene: &Scene, flow: &Flow) -> Outcome {
    const LONG: Duration = Duration::from_millis(2_600);
    let call = Call::new(flow, Space::Client, CLIENT, MASQUERADED, PORT);
    let word = word(flow, 0);
    let socket = scene
        .world
        .at(Space::Client, || sockets::datagrams(call.from))?;
    let start = Instant::now();
    while start.elapsed() < LONG {
        sockets::ask(&socket, call.to, &word)?;
        // Nothing to wait for: the connection is what lasts.
        std::thread::sleep(Duration::from_millis(300));
    }
    let known = Known::to(scene.reply(&word)?, true);
    Ok(Said::one(call.key(flow), known).into())
}

/// The key of an echo.
pub fn echo(flow: &Flow, from: Place, to: Place, id: u16) -> Key {
    let (proto, kind) = if flow.is_v6 { (ICMPV6, 128) } else { (ICMP, 8) };
    Key {
        proto,
        orig: Tuple {
            src: flow.address(from),
            dst: flow.address(to),
            layer4: Layer4::Icmp { kind, code: 0, id },
        },
        zone: 0,
    }
}

/// An echo that comes back; what is known of it.
pub fn pinged(
    scene: &Scene,
    flow: &Flow,
    (space, from, to): (Space, Place, Place),
) -> anyhow::Result<Said> {
    let id = flow.port(0);
    let key = echo(flow, from, to, id);
    scene.world.at(space, || {
        sockets::ping(key.orig.src, key.orig.dst, id, true)
    })?;
    Ok(Said::one(key, Known::plain(key, true)))
}

/// An echo through the router, from it, or within it.
pub fn ping(scene: &Scene, flow: &Flow) -> Outcome {
    let way = match flow.choose(0, 3) {
        0 => (Space::Client, CLIENT, PLAIN),
        1 => (Space::Router, UPLINK, PLAIN),
        _ => (Space::Router, LOOPBACK, LOOPBACK),
    };
    Ok(pinged(scene, flow, way)?.into())
}

/// An echo to the router.
pub fn ping_in(scene: &Scene, flow: &Flow) -> Outcome {
    Ok(pinged(scene, flow, (Space::Client, CLIENT, ROUTER))?.into())
}

/// An echo to a service, or from another address.
pub fn ping_nat(scene: &Scene, flow: &Flow) -> Outcome {
    let (to, place, real) = match flow.choose(0, 2) {
        0 => (SERVICE, CLIENT, PLAIN),
        _ => (SNATTED, Place("10.81.2.77", "fd81:2::77"), SNATTED),
    };
    let mut said = pinged(scene, flow, (Space::Client, CLIENT, to))?;
    let mut reply = said.key.orig.reversed();
    reply.src = flow.address(real);
    reply.dst = flow.address(place);
    said.lives = vec![Known::to(reply, true)];
    Ok(said.into())
}
