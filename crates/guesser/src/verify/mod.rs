//! The proof on held-out data: fresh connections, of which nothing but the found offsets is read, as
//! a consumer would read them. Everything must be there; behind an untracked packet, nothing.
//! [`check`] judges what was read.

mod check;

use std::collections::BTreeSet;

use anyhow::bail;
use shared::offsets::Field;

use crate::expected::Nat;
use crate::expected::Packet;
use crate::expected::Turn;
use crate::expected::expected;
use crate::sample::capture::Camera;
use crate::sample::capture::Events;
use crate::sample::flow::Flow;
use crate::sample::namespaces::Ground;
use crate::solve::Solver;
use crate::way::Order;
use crate::way::Read;
use check::Check;

/// The connections that must pass, every kind of NAT among them, in every namespace.
const CONNECTIONS: usize = 8;
/// The connections that are made at most: one that takes too long is no test.
const MAX_CONNECTIONS: usize = 16;
/// How often a packet is sent anew if no event was seen.
const TRIES: usize = 4;

/// Checks proven fields on fresh connections, and returns those that were contradicted.
///
/// # Errors
/// If a flow cannot be made, or its packets were not seen.
pub fn verify(
    camera: &mut Camera<'_, '_>,
    grounds: &mut [Ground],
    untracked: &mut Ground,
    solver: &Solver,
    proven: &[Field],
) -> anyhow::Result<BTreeSet<Field>> {
    let mut order = Order::default();
    let mut fields = Vec::new();
    for &field in proven {
        let Some((way, offset)) = solver.proven(field) else {
            continue;
        };
        let bytes = field.size_bytes();
        if !order.add(Read { way, offset, bytes }) {
            bail!("{field} does not fit into one request");
        }
        fields.push(field);
    }
    let mut check = Check::new(fields);
    let mut passed = 0;
    for index in 0..MAX_CONNECTIONS {
        if passed == CONNECTIONS {
            break;
        }
        let ground = &mut grounds[index % grounds.len()];
        let nat = Nat::KINDS[index % Nat::KINDS.len()];
        let flow = Flow::open(ground, nat, &mut camera.random)?;
        for turn in [Turn::First, Turn::Reply, Turn::Later] {
            let (packet, events) = events(camera, &flow, turn, &order)?;
            if flow.is_stale() {
                break;
            }
            check.tracked(&expected(flow.facts(), packet), &events);
            passed += usize::from(turn == Turn::Later);
        }
    }
    if passed < CONNECTIONS {
        bail!("verify: this machine is too slow: a connection of three packets takes seconds");
    }
    let flow = Flow::open(untracked, Nat::KINDS[0], &mut camera.random)?;
    let (_, events) = events(camera, &flow, Turn::First, &order)?;
    check.untracked(&events);
    Ok(check.contradicted())
}

/// Sends a packet, again if need be, and returns at least one event.
fn events(
    camera: &mut Camera<'_, '_>,
    flow: &Flow,
    turn: Turn,
    order: &Order,
) -> anyhow::Result<(Packet, Events)> {
    for _ in 0..TRIES {
        let mark = camera.random.mark();
        let packet = Packet { turn, mark };
        let events = camera.events(flow, packet, order)?;
        if !events.is_empty() {
            return Ok((packet, events));
        }
    }
    bail!("verify: the tracepoint does not show our packets any more")
}
