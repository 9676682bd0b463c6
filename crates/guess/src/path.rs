//! How to reach an object from what a hook shows, and which of its bytes to read. Pure:
//! [`ReadPlan`] is a request to the capture program before it is encoded.

use std::ops::Range;

use bincode::Decode;
use bincode::Encode;

use crate::fields::Event;
use crate::fields::Place;
use crate::fields::Struct;

/// How many objects one request can reach. `bpf` asserts that these limits equal those of
/// `guess_wire.h`.
pub const MAX_BASES: usize = 16;
/// How many pieces one request can read.
pub const MAX_PIECES: usize = 64;
/// The length of the longest piece.
pub const PIECE_BYTES: u32 = 256;

/// A pointer and one of its candidate offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Step {
    /// The pointer.
    pub pointer: Place,
    /// Its offset in its struct, proven or assumed.
    pub offset: u32,
}

/// The pointers to follow from what a hook shows; without steps, the path ends at that object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct AccessPath {
    /// The hook that shows its first object.
    pub event: Event,
    /// The pointers.
    pub steps: Vec<Step>,
}

impl AccessPath {
    /// The path to the object that the hook shows.
    #[must_use]
    pub const fn to_shown(event: Event) -> Self {
        Self {
            event,
            steps: Vec::new(),
        }
    }

    /// This path with one more step.
    #[must_use]
    pub fn then(&self, pointer: Place, offset: u32) -> Self {
        let mut path = self.clone();
        path.steps.push(Step { pointer, offset });
        path
    }

    /// This path without its last step; none if it has no steps.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, before) = self.steps.split_last()?;
        Some(Self {
            event: self.event,
            steps: before.to_vec(),
        })
    }
}

/// The paths to a struct over pointers whose offset is known.
#[must_use]
pub fn paths_to(end: Struct, offset: &dyn Fn(Place) -> Option<u32>) -> Vec<AccessPath> {
    let shown = Event::ALL.into_iter().filter(|event| event.shows() == end);
    let mut paths: Vec<AccessPath> = shown.map(AccessPath::to_shown).collect();
    for pointer in end.reached_by() {
        if let Some(at) = offset(pointer.place) {
            let before = paths_to(pointer.inside, offset);
            paths.extend(before.iter().map(|path| path.then(pointer.place, at)));
        }
    }
    paths
}

/// A range of an object's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// How to reach the object.
    pub path: AccessPath,
    /// Where the range begins.
    pub offset: u32,
    /// How long it is.
    pub bytes: u32,
}

impl Read {
    /// All bytes in which fields of this struct are searched.
    #[must_use]
    pub const fn window(path: AccessPath, end: Struct) -> Self {
        Self {
            path,
            offset: 0,
            bytes: end.window_bytes(),
        }
    }
}

/// An object that is reached through a pointer in an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// Index of the earlier object.
    pub parent: u32,
    /// The offset of the pointer in it.
    pub offset: u32,
    /// Bits of the pointer that are not part of the address.
    pub tag_mask: u64,
}

/// At most [`PIECE_BYTES`] of an object. Either all of them are read, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Index of the object.
    pub base: u32,
    /// Where in the object it begins.
    pub offset: u32,
    /// How long it is.
    pub bytes: u32,
}

/// Everything that is read at one event.
#[derive(Debug, Clone)]
pub struct ReadPlan {
    event: Event,
    bases: Vec<Base>,
    paths: Vec<AccessPath>,
    pieces: Vec<Piece>,
    /// For each read, its object and the indices of its pieces.
    reads: Vec<(Read, u32, Range<usize>)>,
}

/// What was read of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The object's address; 0 if the path led nowhere.
    pub address: u64,
    /// The address of the object that led to it; for the object that the hook shows, its own.
    pub parent_address: u64,
    /// The bytes up to the first that could not be read.
    pub bytes: Vec<u8>,
}

impl ReadPlan {
    /// A plan that reads nothing at this kind of event.
    #[must_use]
    pub fn new(event: Event) -> Self {
        let mut plan = Self {
            event,
            bases: Vec::new(),
            paths: Vec::new(),
            pieces: Vec::new(),
            reads: Vec::new(),
        };
        plan.base(&AccessPath::to_shown(event));
        plan
    }

    /// The kind of event at which it is carried out.
    #[must_use]
    pub const fn event(&self) -> Event {
        self.event
    }

    /// Adds a read if it still fits, and returns whether it did.
    pub fn add(&mut self, read: Read) -> bool {
        let first = self.pieces.len();
        if first + read.bytes.div_ceil(PIECE_BYTES) as usize > MAX_PIECES {
            return false;
        }
        let known = self.bases.len();
        let base = self.base(&read.path);
        if self.bases.len() > MAX_BASES {
            self.bases.truncate(known);
            self.paths.truncate(known);
            return false;
        }
        for from in (0..read.bytes).step_by(PIECE_BYTES as usize) {
            let bytes = PIECE_BYTES.min(read.bytes - from);
            self.pieces.push(Piece {
                base,
                offset: read.offset + from,
                bytes,
            });
        }
        self.reads.push((read, base, first..self.pieces.len()));
        true
    }

    /// The index of the object at the end of a path.
    fn base(&mut self, path: &AccessPath) -> u32 {
        if let Some(index) = self.paths.iter().position(|known| known == path) {
            return index as u32;
        }
        let mut base = Base {
            parent: 0,
            offset: 0,
            tag_mask: 0,
        };
        if let (Some(parent), Some(step)) = (path.parent(), path.steps.last()) {
            base.parent = self.base(&parent);
            base.offset = step.offset;
            base.tag_mask = step.pointer.spec().tag_mask();
        }
        self.bases.push(base);
        self.paths.push(path.clone());
        self.bases.len() as u32 - 1
    }

    /// The objects, each after the one that leads to it.
    #[must_use]
    pub fn bases(&self) -> &[Base] {
        &self.bases
    }

    /// The pieces in the order in which they are read.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The reads in the order in which they were added.
    pub fn reads(&self) -> impl ExactSizeIterator<Item = &Read> {
        self.reads.iter().map(|(read, _, _)| read)
    }

    /// What was read, for each read. `address` returns where an object is, `piece` the bytes of a
    /// piece, or none if it could not be read.
    #[must_use]
    pub fn unpack<'a>(
        &self,
        address: impl Fn(usize) -> u64,
        piece: impl Fn(usize) -> Option<&'a [u8; PIECE_BYTES as usize]>,
    ) -> Vec<Reading> {
        let without_gap = |pieces: Range<usize>| {
            let mut bytes = Vec::with_capacity(pieces.len() * PIECE_BYTES as usize);
            for index in pieces {
                let Some(whole) = piece(index) else { break };
                bytes.extend(&whole[..self.pieces[index].bytes as usize]);
            }
            bytes
        };
        let reads = self.reads.iter();
        reads
            .map(|(_, base, pieces)| Reading {
                address: address(*base as usize),
                parent_address: address(self.bases[*base as usize].parent as usize),
                bytes: without_gap(pieces.clone()),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use shared::offsets::Field;

    use super::*;

    fn read(path: &AccessPath, bytes: u32) -> Read {
        Read {
            path: path.clone(),
            offset: 0,
            bytes,
        }
    }

    #[test]
    fn objects_on_one_path_are_reached_once() {
        let ct = AccessPath::to_shown(Event::Packet).then(Field::SkBuffNfct.into(), 104);
        let net = ct.then(Field::NfConnCtNet.into(), 136);
        let mut plan = ReadPlan::new(Event::Packet);
        assert!(plan.add(read(&net, 300)));
        assert!(plan.add(read(&ct, 8)));
        let base = |parent, offset, tag_mask| Base {
            parent,
            offset,
            tag_mask,
        };
        assert_eq!(
            plan.bases(),
            [base(0, 0, 0), base(0, 104, 7), base(1, 136, 0)]
        );
        let pieces: Vec<_> = plan
            .pieces()
            .iter()
            .map(|p| (p.base, p.offset, p.bytes))
            .collect();
        assert_eq!(pieces, [(2, 0, 256), (2, 256, 44), (1, 0, 8)]);
    }

    #[test]
    fn a_read_that_does_not_fit_is_left_out_completely() {
        let mut plan = ReadPlan::new(Event::Packet);
        let shown = AccessPath::to_shown(Event::Packet);
        let most = MAX_PIECES as u32 * PIECE_BYTES;
        assert!(plan.add(read(&shown, most)));
        let pieces = plan.pieces().len();
        assert!(!plan.add(read(&shown, 8)));
        assert_eq!(plan.pieces().len(), pieces);
    }

    #[test]
    fn bytes_end_at_the_first_gap() {
        let mut plan = ReadPlan::new(Event::Route4);
        let shown = AccessPath::to_shown(Event::Route4);
        assert!(plan.add(read(&shown, 3 * PIECE_BYTES)));
        assert!(plan.add(read(&shown, 4)));
        let arena: Vec<_> = (0..4).map(|piece| [piece; PIECE_BYTES as usize]).collect();
        let got = plan.unpack(|_| 7, |piece| (piece != 1).then_some(&arena[piece]));
        assert_eq!(got[0].bytes, vec![0; PIECE_BYTES as usize]);
        assert_eq!(got[1].bytes, vec![3; 4]);
        assert_eq!(got[1].address, 7);
    }
}
