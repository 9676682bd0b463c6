//! Calls between hosts behind a bridge of the router, whose packets pass the rules of IPv4.

use super::super::flow::Flow;
use super::super::flow::Place;
use super::super::said::Made;
use super::super::said::Said;
use super::super::scene::Call;
use super::super::scene::Scene;
use super::super::scene::word;
use super::super::servers::PORT;
use super::super::world::Space;

type Outcome = anyhow::Result<Made>;

const POD1: Place = Place("10.81.5.2", "");
const POD2: Place = Place("10.81.5.3", "");
/// Its backend is the second host.
const SERVICE: Place = Place("10.96.0.8", "");

fn one(scene: &Scene, flow: &Flow, space: Space, from: Place, to: Place) -> Outcome {
    let call = Call::new(flow, space, from, to, PORT);
    let known = call.answered(scene, flow, &word(flow, 0))?;
    Ok(Said::one(call.key(flow), known).into())
}

/// From one host to the other: the router only bridges.
pub fn bridged(scene: &Scene, flow: &Flow) -> Outcome {
    one(scene, flow, Space::Pod1, POD1, POD2)
}

/// To a service whose backend is the other host.
pub fn bridged_dnat(scene: &Scene, flow: &Flow) -> Outcome {
    one(scene, flow, Space::Pod1, POD1, SERVICE)
}

/// To a service whose backend is the caller itself.
pub fn bridged_hairpin(scene: &Scene, flow: &Flow) -> Outcome {
    one(scene, flow, Space::Pod2, POD2, SERVICE)
}
