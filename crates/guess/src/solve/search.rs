//! The search for one place along one path: which offsets no sample has contradicted, and the evidence.

use super::addresses::is_kernel_address;
use super::bytes::holds;
use super::bytes::index_at;
use super::bytes::indices_of;
use super::bytes::number_at;
use super::bytes::word_at;
use super::candidates::Candidate;
use super::candidates::Candidates;
use super::evidence::ENOUGH_BITS;
use super::evidence::Evidence;
use super::sample::Expected;
use super::sample::Worth;
use crate::fields::Content;
use crate::fields::Spec;
use crate::path::AccessPath;

/// A deadline is drawn from at least a hundred thousand seconds, times the clock's frequency. The tolerance
/// of some seconds and the unknown frequency are subtracted.
const DEADLINE_BITS: u32 = 12;
/// The address of an object is unique; this is far below its entropy.
const BACK_BITS: u32 = 16;

/// The cost of the search for a pointer is at most this, with 512 possible offsets in a socket.
const POINTER_BITS: u32 = 9;

/// A pointer must have shown this many values before it is followed.
pub const MIN_VALUES: usize = 2;

/// The size of a list head and its neighbours.
const LIST_BYTES: u64 = 32;

/// What a sample shows to one search.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// The struct that is searched, up to the first byte that could not be read.
    pub bytes: &'a [u8],
    /// The address of the struct; 0 if the path led nowhere.
    pub address: u64,
    /// The address of the struct that led to it.
    pub parent_address: u64,
    /// For an index, the buffer.
    pub buffer: &'a [u8],
}

/// The search for one place in the object at the end of one path.
#[derive(Debug, Clone)]
pub struct Search {
    /// The place.
    pub spec: &'static Spec,
    /// The path to its struct; for an index, the path to the buffer.
    pub path: AccessPath,
    /// The number of samples that it has seen.
    pub samples: u32,
    /// The offsets that are still possible.
    pub candidates: Candidates,
    /// The evidence of the matches; those of a pointer prove nothing by themselves.
    pub evidence: Evidence,
    /// The index in the sample before.
    last_index: Option<u16>,
}

impl Search {
    /// A search that has not begun.
    #[must_use]
    pub fn new(spec: &'static Spec, path: AccessPath) -> Self {
        Self {
            spec,
            path,
            samples: 0,
            candidates: Candidates::default(),
            evidence: Evidence::default(),
            last_index: None,
        }
    }

    /// Drops every candidate that disagrees with a sample. An offset that cannot be read disagrees.
    pub fn observe(&mut self, sample: u32, expected: &Expected, window: Window<'_>) {
        self.samples += 1;
        let tag_mask = self.spec.tag_mask();
        let bytes = window.bytes;
        // An empty list points to itself. A pointer to an address further away may lead to another object:
        // the window is larger than the struct, and the next page may hold the object.
        let is_list = |offset: u32, word: u64| {
            let slot = window.address.wrapping_add(u64::from(offset));
            word.abs_diff(slot) < LIST_BYTES
        };
        match expected {
            Expected::Bytes {
                bytes: value,
                worth,
            } => {
                let has_size = value.len() == self.spec.place.size_bytes() as usize;
                self.retain(sample, bytes, |one| {
                    has_size && holds(bytes, one.offset, value)
                });
                self.evidence.add(value, *worth);
            }
            Expected::Shifted {
                value,
                shift,
                worth,
            } => {
                self.retain(sample, bytes, |one| {
                    number_at(bytes, one.offset).is_some_and(|found| found >> shift == *value)
                });
                self.evidence.add(&value.to_ne_bytes(), *worth);
            }
            Expected::Object { id, tag } => {
                self.retain(sample, bytes, |one| {
                    word_at(bytes, one.offset).is_some_and(|word| {
                        word & tag_mask == *tag
                            && !is_list(one.offset, word)
                            && one.seen().addresses.agree(*id, word & !tag_mask)
                    })
                });
                self.evidence.add(&id.to_ne_bytes(), Worth::Given(0));
            }
            Expected::Null => self.retain(sample, bytes, |one| {
                word_at(bytes, one.offset).is_some_and(|word| word & !tag_mask == 0)
            }),
            Expected::Address => {
                self.retain(sample, bytes, |one| {
                    word_at(bytes, one.offset)
                        .is_some_and(|word| is_kernel_address(word) && !is_list(one.offset, word))
                });
                self.evidence.add(&sample.to_ne_bytes(), Worth::Given(0));
            }
            Expected::Back => {
                let parent = window.parent_address;
                self.retain(sample, bytes, |one| {
                    parent != 0 && word_at(bytes, one.offset) == Some(parent)
                });
                let worth = Worth::Given(BACK_BITS);
                self.evidence.add(&parent.to_ne_bytes(), worth);
            }
            Expected::Index {
                landmark,
                further_bytes,
                bits,
            } => {
                let indices = indices_of(window.buffer, landmark, *further_bytes);
                self.retain(sample, bytes, |one| {
                    index_at(bytes, one.offset).is_some_and(|index| indices.contains(&index))
                });
                // An index that never changes proves nothing: any offset may hold it.
                let only = indices.first().copied().filter(|_| indices.len() == 1);
                if only.is_some() && self.last_index.is_some() && self.last_index != only {
                    self.evidence.add(&[], Worth::Drawn(*bits));
                }
                self.last_index = only;
            }
            Expected::Deadline { ahead_s, between } => {
                self.retain(sample, bytes, |one| {
                    number_at(bytes, one.offset)
                        .is_some_and(|found| one.seen().clock.agree(*ahead_s, *between, found))
                });
                let worth = Worth::Given(DEADLINE_BITS);
                self.evidence.add(&ahead_s.to_ne_bytes(), worth);
            }
        }
    }

    /// Keeps the candidates that agree. Before the first sample, every offset is a candidate.
    fn retain(&mut self, sample: u32, bytes: &[u8], agrees: impl FnMut(&mut Candidate) -> bool) {
        let (size, align) = (self.spec.place.size_bytes(), self.spec.align_bytes);
        let last = bytes.len().checked_sub(size as usize);
        let every = (0..last.map_or(0, |last| last + 1)).step_by(align as usize);
        self.evidence.searched(every.len());
        self.candidates
            .retain(sample, every.map(|offset| offset as u32), agrees);
    }

    /// The paths behind the first `most` candidates of a pointer that have not been followed yet.
    pub fn follow(&mut self, most: usize) -> impl Iterator<Item = AccessPath> {
        let (path, pointer) = (&self.path, self.spec.place);
        let fresh = self.candidates.follow(most);
        fresh.map(move |offset| path.then(pointer, offset))
    }

    /// Whether this search has changed since the last call in a way that may affect other searches.
    pub fn take_news(&mut self) -> bool {
        let is_pointer = self.spec.leads_to().is_some();
        self.candidates.take_change() && (is_pointer || self.candidates.is_empty())
    }

    /// Whether further samples of it are useless: no offset is left, or one offset with enough evidence for
    /// itself and for a pointer that it proves.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        let is_sure = match self.spec.content {
            // Its evidence is found behind it, where the search continues after some values.
            Content::Pointer { .. } => self.evidence.distinct() >= MIN_VALUES,
            _ => self.evidence.net_bits() >= ENOUGH_BITS + POINTER_BITS,
        };
        self.candidates.is_empty() || self.candidates.only().is_some() && is_sure
    }
}

#[cfg(test)]
mod tests {
    use shared::offsets::Field;

    use super::*;
    use crate::fields::Event;
    use crate::fields::Place;

    #[test]
    fn a_list_is_no_object_but_a_neighbour_may_be_one() {
        let address = 0xffff_8880_0000_4000_u64;
        let path = AccessPath::to_shown(Event::Packet);
        let mut search = Search::new(Place::Field(Field::SkBuffSk).spec(), path);
        let mut bytes = vec![0; 512];
        for (at, word) in [(64, address + 64), (72, address + 64), (104, address + 256)] {
            bytes[at..at + 8].copy_from_slice(&word.to_ne_bytes());
        }
        let window = Window {
            bytes: &bytes,
            address,
            parent_address: address,
            buffer: &[],
        };
        search.observe(1, &Expected::Object { id: 1, tag: 0 }, window);
        assert_eq!(search.candidates.alive().as_deref(), Some(&[104][..]));
    }

    #[test]
    fn a_pointer_of_one_value_is_not_decided() {
        let path = AccessPath::to_shown(Event::Packet);
        let mut search = Search::new(Place::Field(Field::SkBuffSk).spec(), path);
        for (id, is_decided) in [(1, false), (2, true)] {
            let mut bytes = vec![0; 512];
            let object = 0xffff_8880_0000_0000_u64 | id << 12;
            bytes[24..32].copy_from_slice(&object.to_ne_bytes());
            let window = Window {
                bytes: &bytes,
                address: 0xffff_8880_0001_0000,
                parent_address: 0,
                buffer: &[],
            };
            search.observe(id as u32, &Expected::Object { id, tag: 0 }, window);
            assert_eq!(search.candidates.only(), Some(24));
            assert_eq!(search.is_decided(), is_decided);
        }
    }
}
