//! A kernel made of bytes: structs with any layout, filled as a real one fills them, and captured by
//! the same orders. What is not a field is noise.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::net::SocketAddrV4;

use shared::offsets::Field;

use crate::expected::Abilities;
use crate::expected::Ends;
use crate::expected::Facts;
use crate::expected::Nat;
use crate::expected::Packet;
use crate::expected::Turn;
use crate::expected::expected;
use crate::fields::SPECS;
use crate::fields::Struct;
use crate::fields::spec;
use crate::random::Random;
use crate::solve::Solver;
use crate::solve::sample::Expected;
use crate::solve::sample::Sample;
use crate::solve::sample::View;
use crate::way::Order;
use crate::way::PIECE_BYTES;

const LINEAR_MAP: u64 = 0xffff_8880_0000_0000;

/// Where the fields are; a field that is not here does not exist.
pub type Layout = HashMap<Field, u32>;

/// Changes what one sample shows: the struct, its bytes, and what is expected of it.
pub type Meddle = fn(Struct, &mut Vec<u8>, &[(Field, Expected)]);

pub struct World {
    pub layout: Layout,
    /// How much of each struct can be read.
    pub readable: fn(Struct) -> u32,
    pub can: Abilities,
    pub meddle: Meddle,
    random: Random,
    addresses: HashMap<(Struct, u64), u64>,
}

impl World {
    pub fn new(layout: Layout, seed: u64) -> Self {
        Self {
            layout,
            readable: Struct::window_bytes,
            can: Abilities {
                zone: true,
                mark: true,
                nat: Some(true),
            },
            meddle: |_, _, _| {},
            random: Random::seeded(seed),
            addresses: HashMap::new(),
        }
    }

    /// As on a kernel of 2026: 6.18.
    pub fn usual(seed: u64) -> Self {
        let at = [
            (Field::SkBuffNfct, 104),
            (Field::NfConnTupleOrig, 32),
            (Field::NfConnTupleReply, 88),
            (Field::NfConnStatus, 128),
            (Field::NfConnCtNet, 136),
            (Field::NfConnMark, 168),
            (Field::NfConnZone, 12),
            (Field::NetNsInum, 176),
        ];
        Self::new(at.into(), seed)
    }

    /// Every field anywhere in its struct, none on top of another.
    pub fn randomised(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let mut layout = Layout::new();
        let mut taken: Vec<(Struct, u32, u32)> = Vec::new();
        for entry in SPECS {
            let bytes = entry.field.size_bytes();
            let places = (entry.inside.window_bytes() - bytes) / entry.align_bytes;
            loop {
                let start = random.between(0, places + 1) * entry.align_bytes;
                let free = taken.iter().all(|&(inside, from, to)| {
                    inside != entry.inside || to <= start || start + bytes <= from
                });
                if free {
                    taken.push((entry.inside, start, start + bytes));
                    layout.insert(entry.field, start);
                    break;
                }
            }
        }
        Self::new(layout, seed)
    }

    /// Runs rounds as the experiment does, until nothing more can be learnt.
    pub fn solve(&mut self) -> Solver {
        let mut solver = Solver::new(Field::CONNTRACK);
        for _ in 0..8 {
            let order = solver.order();
            for (netns, kind) in [(0, 0), (0, 1), (0, 2), (0, 3), (1, 1), (2, 2)] {
                let flow = self.flow(netns, Nat::KINDS[kind]);
                for turn in [Turn::First, Turn::Reply, Turn::Later] {
                    let sample = self.sample(&order, &flow, turn);
                    solver.observe(&sample);
                }
            }
            solver.advance();
            if solver.is_settled() {
                break;
            }
        }
        solver
    }

    fn flow(&mut self, netns: u32, nat: Nat) -> Facts {
        let mut end = || {
            let host = self.random.between(1, 1 << 24);
            let port = self.random.between(1024, 1 << 16) as u16;
            SocketAddrV4::new(Ipv4Addr::from(127 << 24 | host), port)
        };
        let [caller, dialled, callee, shown] = [end(), end(), end(), end()];
        let nat = if self.can.nat == Some(true) {
            nat
        } else {
            Nat::KINDS[0]
        };
        Facts {
            id: self.random.number(),
            netns: 0xf000_0123 + netns * 7,
            can: self.can,
            nat,
            zone: self.random.between(1, 1 << 16) as u16,
            orig: Ends {
                src: caller,
                dst: if nat.dnat { dialled } else { callee },
            },
            reply: Ends {
                src: callee,
                dst: if nat.snat { shown } else { caller },
            },
        }
    }

    fn sample(&mut self, order: &Order, flow: &Facts, turn: Turn) -> Sample {
        let mark = self.random.number() as u32;
        let expected = expected(flow, Packet { turn, mark });
        let packet = self.random.number();
        let objects = [
            (Struct::SkBuff, packet),
            (Struct::NfConn, flow.id),
            (Struct::Net, flow.netns.into()),
        ];
        let mut memory = HashMap::new();
        for (kind, id) in objects {
            let bytes = self.object(kind, &expected);
            memory.insert(self.address(kind, id), bytes);
        }
        let root = self.address(Struct::SkBuff, packet);
        let reads = capture(order, root, &memory);
        let ways = order.reads().map(|read| read.way.clone());
        Sample {
            views: ways
                .zip(reads)
                .map(|(way, bytes)| View { way, bytes })
                .collect(),
            expected,
        }
    }

    /// The bytes of a struct: what is expected at the fields' places, noise elsewhere. Much of a
    /// real struct is zero, a small number or the same in each.
    fn object(&mut self, kind: Struct, expected: &[(Field, Expected)]) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..kind.window_bytes() / 8)
            .flat_map(|slot| {
                match slot % 4 {
                    0 => self.random.number(),
                    1 => u64::from(slot),
                    2 => LINEAR_MAP | u64::from(slot) << 12,
                    _ => 0,
                }
                .to_ne_bytes()
            })
            .collect();
        for (field, value) in expected {
            let Some(&at) = self.layout.get(field) else {
                continue;
            };
            if spec(*field).inside != kind {
                continue;
            }
            let value = match value {
                Expected::Bytes { bytes, .. } => bytes.clone(),
                Expected::Object { id, tag } => {
                    let to = match field {
                        Field::SkBuffNfct => Struct::NfConn,
                        _ => Struct::Net,
                    };
                    (self.address(to, *id) | tag).to_ne_bytes().to_vec()
                }
            };
            bytes[at as usize..at as usize + value.len()].copy_from_slice(&value);
        }
        (self.meddle)(kind, &mut bytes, expected);
        bytes.truncate((self.readable)(kind) as usize);
        bytes
    }

    fn address(&mut self, kind: Struct, id: u64) -> u64 {
        let next = LINEAR_MAP + 0x1000_0000 + (self.addresses.len() as u64) * 0x4000;
        *self.addresses.entry((kind, id)).or_insert(next)
    }
}

/// What the capture program does, on bytes that are not the kernel's.
fn capture(order: &Order, root: u64, memory: &HashMap<u64, Vec<u8>>) -> Vec<Vec<u8>> {
    let read = |base: u64, offset: u32, bytes: u32| {
        let object = memory.get(&base)?;
        object.get(offset as usize..(offset + bytes) as usize)
    };
    let mut bases = vec![root];
    for base in &order.bases()[1..] {
        let pointer = read(bases[base.parent as usize], base.offset, 8)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u64::from_ne_bytes);
        bases.push(pointer & !base.tag_mask);
    }
    let pieces: Vec<Option<[u8; PIECE_BYTES as usize]>> = order
        .pieces()
        .iter()
        .map(|piece| {
            let bytes = read(bases[piece.base as usize], piece.offset, piece.bytes)?;
            let mut whole = [0; PIECE_BYTES as usize];
            whole[..bytes.len()].copy_from_slice(bytes);
            Some(whole)
        })
        .collect();
    order.unpack(|piece| pieces[piece].as_ref())
}
