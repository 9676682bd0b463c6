//! The memory of a test kernel: objects with addresses, filled with noise, and read by the same plans as
//! the memory of a real one.

use std::collections::BTreeMap;
use std::collections::HashMap;

use crate::fields::Struct;
use crate::path::PIECE_BYTES;
use crate::path::ReadPlan;
use crate::path::Reading;
use fastrand::Rng;

const LINEAR_MAP: u64 = 0xffff_8880_0000_0000;
/// More than the largest window.
const APART_BYTES: u64 = 0x2000;

#[derive(Debug, Default)]
pub struct Memory {
    objects: BTreeMap<u64, (Struct, Vec<u8>)>,
    addresses: HashMap<(Struct, u64), u64>,
    /// The youngest object of each kind, which is behind the next one, freed or not.
    youngest: HashMap<Struct, Vec<u8>>,
}

impl Memory {
    /// The address of the object with this number, which may not exist yet.
    pub fn address(&mut self, kind: Struct, id: u64) -> u64 {
        let next = LINEAR_MAP + 0x1000_0000 + self.addresses.len() as u64 * APART_BYTES;
        *self.addresses.entry((kind, id)).or_insert(next)
    }

    /// Whether the object exists.
    pub fn has(&mut self, kind: Struct, id: u64) -> bool {
        let address = self.address(kind, id);
        self.objects.contains_key(&address)
    }

    /// Makes an object, or makes it again, with a neighbour after `size` bytes. An existing buffer keeps its
    /// bytes.
    pub fn make(&mut self, random: &mut Rng, kind: Struct, id: u64, size: Option<u32>) {
        let address = self.address(kind, id);
        if kind == Struct::Buffer && self.objects.contains_key(&address) {
            return;
        }
        let mut bytes = noise(random, address, kind.window_bytes());
        if let (Some(size), Some(neighbour)) = (size, self.youngest.get(&kind)) {
            let size = size as usize;
            let seen = bytes.len() - size;
            // Only the beginning of the neighbour fits if the rest of the window is smaller.
            let seen = seen.min(size);
            bytes[size..size + seen].copy_from_slice(&neighbour[..seen]);
        }
        self.objects.insert(address, (kind, bytes));
    }

    /// Notes that an object is complete and will be the neighbour of the next one.
    pub fn finish(&mut self, kind: Struct, id: u64) {
        let bytes = self.bytes(kind, id).clone();
        self.youngest.insert(kind, bytes);
    }

    /// The bytes of an object that was made.
    pub fn bytes(&mut self, kind: Struct, id: u64) -> &mut Vec<u8> {
        let address = self.address(kind, id);
        &mut self.objects.get_mut(&address).unwrap().1
    }

    /// What the capture program does.
    pub fn capture(&self, plan: &ReadPlan, root: u64, readable: fn(Struct) -> u32) -> Vec<Reading> {
        let read = |at: u64, bytes: u32| {
            let (begin, (kind, object)) = self.objects.range(..=at).next_back()?;
            let limit = object.len().min(readable(*kind) as usize);
            let from = usize::try_from(at - begin).ok()?;
            object[..limit].get(from..from + bytes as usize)
        };
        let mut bases = vec![root];
        for base in &plan.bases()[1..] {
            let parent = bases[base.parent as usize];
            let pointer = (parent != 0)
                .then(|| read(parent + u64::from(base.offset), 8))
                .flatten()
                .map_or(0, |bytes| u64::from_ne_bytes(bytes.try_into().unwrap()));
            let pointer = pointer & !base.tag_mask;
            // Two addresses of the linear map are near each other.
            let is_near = pointer.abs_diff(root) < 1 << 46;
            bases.push(if is_near { pointer } else { 0 });
        }
        let pieces: Vec<Option<[u8; PIECE_BYTES as usize]>> = plan
            .pieces()
            .iter()
            .map(|piece| {
                let at = bases[piece.base as usize];
                let bytes = read(at.checked_add(piece.offset.into())?, piece.bytes)?;
                let mut whole = [0; PIECE_BYTES as usize];
                whole[..bytes.len()].copy_from_slice(bytes);
                Some(whole)
            })
            .collect();
        plan.unpack(|base| bases[base], |piece| pieces[piece].as_ref())
    }
}

/// Much of a real struct is zero, a small number, the same in each object, or an empty list that points to
/// itself.
fn noise(random: &mut Rng, address: u64, bytes: u32) -> Vec<u8> {
    (0..u64::from(bytes) / 8)
        .flat_map(|slot| {
            match slot % 16 {
                // Few pointers of an object are unique; the others are shared, like those to operations.
                5 if slot % 256 == 5 => LINEAR_MAP | (random.u64(..) & 0x3f_ffff_fff8),
                0 | 4 | 9 => random.u64(..) >> 1,
                1 | 13 => slot,
                2 if slot % 32 == 2 => LINEAR_MAP | slot << 12,
                6 | 7 if slot % 64 < 8 => address + 8 * (slot & !1),
                _ => 0,
            }
            .to_ne_bytes()
        })
        .collect()
}
