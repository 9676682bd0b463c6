//! One attempt: rounds of flows, each captured as far as the solver has come, until it is settled.

use anyhow::bail;
use shared::offsets::Field;

use crate::expected::Nat;
use crate::expected::Packet;
use crate::expected::Turn;
use crate::expected::expected;
use crate::sample::capture::Camera;
use crate::sample::flow::Flow;
use crate::sample::namespaces::Ground;
use crate::solve::Solver;
use crate::solve::sample::Sample;
use crate::solve::sample::View;
use crate::way::Order;

/// A field that is still not alone after so many rounds never will be.
const MAX_ROUNDS: usize = 8;

/// The flows of one round, as (ground, kind): every kind of NAT, and three namespaces at least.
const ROUND: [(usize, Nat); 6] = [
    (0, Nat::KINDS[0]),
    (0, Nat::KINDS[1]),
    (0, Nat::KINDS[2]),
    (0, Nat::KINDS[3]),
    (1, Nat::KINDS[1]),
    (2, Nat::KINDS[2]),
];

/// Takes samples until every field is proven or hopeless.
///
/// Returns the solver and a name for each of its samples.
///
/// # Errors
/// If a flow cannot be made.
pub fn guess(
    camera: &mut Camera<'_, '_>,
    grounds: &mut [Ground],
    fields: &[Field],
) -> anyhow::Result<(Solver, Vec<String>)> {
    let mut solver = Solver::new(fields);
    let mut names = Vec::new();
    for round in 0..MAX_ROUNDS {
        let order = solver.order();
        let mut flows = ROUND;
        camera.random.shuffle(&mut flows);
        for (ground, nat) in flows {
            let flow = Flow::open(&mut grounds[ground], nat, &mut camera.random)?;
            for turn in [Turn::First, Turn::Reply, Turn::Later] {
                let Some((packet, reads)) = camera.take(&flow, turn, &order, carries_mark)? else {
                    break;
                };
                names.push(format!("{}, {turn:?}", flow.facts()));
                solver.observe(&sample(&flow, packet, &order, reads));
            }
        }
        if names.is_empty() {
            bail!("the tracepoint does not show our packets");
        }
        solver.advance();
        log::debug!("round {round}: {} samples so far", names.len());
        if solver.is_settled() {
            break;
        }
    }
    Ok((solver, names))
}

/// Whether a packet is ours: somewhere in its struct is the mark that we gave it, a number which no
/// other packet has. Where exactly needs not be known.
fn carries_mark(packet: Packet, reads: &[Vec<u8>]) -> bool {
    let mark = packet.mark.to_ne_bytes();
    reads
        .first()
        .is_some_and(|skb| skb.chunks_exact(4).any(|word| word == mark))
}

fn sample(flow: &Flow, packet: Packet, order: &Order, reads: Vec<Vec<u8>>) -> Sample {
    let views = order
        .reads()
        .zip(reads)
        .map(|(read, bytes)| View {
            way: read.way.clone(),
            bytes,
        })
        .collect();
    Sample {
        expected: expected(flow.facts(), packet),
        views,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_ours_if_its_struct_holds_the_mark_in_one_place() {
        let packet = Packet {
            turn: Turn::First,
            mark: 0x0102_0304,
        };
        let mut skb = vec![0; 64];
        assert!(!carries_mark(packet, &[skb.clone()]));
        assert!(!carries_mark(packet, &[]));
        skb[22..26].copy_from_slice(&packet.mark.to_ne_bytes());
        assert!(!carries_mark(packet, &[skb.clone()]), "across two words");
        skb[40..44].copy_from_slice(&packet.mark.to_ne_bytes());
        assert!(carries_mark(packet, &[skb.clone()]));
        // In another object it says nothing of the packet.
        assert!(!carries_mark(packet, &[vec![0; 64], skb]));
    }
}
