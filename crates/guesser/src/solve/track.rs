//! One place along one way: which offsets no sample has contradicted, and what the samples prove.

use super::addresses::Addresses;
use super::addresses::is_kernel_address;
use super::clock::Clock;
use super::evidence::ENOUGH_BITS;
use super::evidence::Evidence;
use super::sample::Expected;
use super::sample::Worth;
use crate::fields::Kind;
use crate::fields::Spec;
use crate::way::Way;

/// Each deadline is a number of seconds out of a million, times the clock's frequency; a tick or two
/// of tolerance and the choice of the frequency are given back.
const DEADLINE_BITS: u32 = 12;
/// An address of an object that nobody else has; far below its entropy.
const BACK_BITS: u32 = 16;

/// The head of a list and what lies beside it.
const LIST_BYTES: u64 = 32;

/// An offset that is still possible.
#[derive(Debug, Clone, Default)]
struct Candidate {
    offset: u32,
    /// Of a pointer: what stood there.
    addresses: Addresses,
    /// Of a deadline: what stood there.
    clock: Clock,
}

/// So many of those that fell at once are remembered.
const FALLEN: usize = 4;

/// When the number of candidates changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Number of the sample, from 1.
    pub sample: u32,
    /// How many candidates were left after it.
    pub left: usize,
    /// Which it dropped; none if these were too many to be told.
    pub fallen: Vec<u32>,
    /// Whether a search behind the pointer decided, rather than the value itself.
    pub by_search_behind: bool,
}

/// What a sample shows to one search.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// The struct that is searched, up to the first byte that could not be read.
    pub bytes: &'a [u8],
    /// Where the struct is; 0 if nowhere.
    pub address: u64,
    /// Where the struct is from which it was reached.
    pub parent_address: u64,
    /// Of an index: the buffer that it counts in.
    pub buffer: &'a [u8],
}

/// The search for one place in the object at the end of one way.
#[derive(Debug, Clone)]
pub struct Track {
    /// The place.
    pub spec: &'static Spec,
    /// How its struct is reached; of an index, how the buffer is.
    pub way: Way,
    /// None before the first sample: every offset is possible.
    candidates: Option<Vec<Candidate>>,
    /// What the matches prove; of a pointer, nothing by itself.
    pub evidence: Evidence,
    /// How the candidates died.
    pub trail: Vec<Change>,
    /// The index in the sample before.
    last_index: Option<u16>,
}

impl Track {
    /// A search that has not begun.
    #[must_use]
    pub fn new(spec: &'static Spec, way: Way) -> Self {
        Self {
            spec,
            way,
            candidates: None,
            evidence: Evidence::default(),
            trail: Vec::new(),
            last_index: None,
        }
    }

    /// Drops every candidate that disagrees with a sample. A place that cannot be read is no field.
    pub fn observe(&mut self, sample: u32, expected: &Expected, sight: Sight<'_>) {
        let tag_mask = self.spec.tag_mask();
        let bytes = sight.bytes;
        // An empty list points to itself. What lies further away may be another object: the window
        // is larger than the struct, and the next page may hold what is pointed to.
        let is_list = |offset: u32, word: u64| {
            let slot = sight.address.wrapping_add(u64::from(offset));
            word.abs_diff(slot) < LIST_BYTES
        };
        match expected {
            Expected::Bytes {
                bytes: value,
                worth,
            } => {
                let right_size = value.len() == self.spec.place.size_bytes() as usize;
                self.retain(sample, bytes, |candidate| {
                    let at = candidate.offset as usize;
                    right_size && bytes.get(at..at + value.len()) == Some(value)
                });
                self.evidence.add(value, *worth);
            }
            Expected::Shifted {
                value,
                shift,
                worth,
            } => {
                self.retain(sample, bytes, |candidate| {
                    let found = number_at(bytes, candidate.offset).map(|found| found >> shift);
                    found == Some(*value)
                });
                self.evidence.add(&value.to_ne_bytes(), *worth);
            }
            Expected::Object { id, tag } => {
                self.retain(sample, bytes, |candidate| {
                    word_at(bytes, candidate.offset).is_some_and(|word| {
                        word & tag_mask == *tag
                            && !is_list(candidate.offset, word)
                            && candidate.addresses.agree(*id, word & !tag_mask)
                    })
                });
                self.evidence.add(&id.to_ne_bytes(), Worth::Given(0));
            }
            Expected::Null => {
                self.retain(sample, bytes, |candidate| {
                    word_at(bytes, candidate.offset).is_some_and(|word| word & !tag_mask == 0)
                });
            }
            Expected::Address => {
                self.retain(sample, bytes, |candidate| {
                    word_at(bytes, candidate.offset).is_some_and(|word| {
                        is_kernel_address(word) && !is_list(candidate.offset, word)
                    })
                });
                self.evidence.add(&sample.to_ne_bytes(), Worth::Given(0));
            }
            Expected::Back => {
                let parent = sight.parent_address;
                self.retain(sample, bytes, |candidate| {
                    parent != 0 && word_at(bytes, candidate.offset) == Some(parent)
                });
                self.evidence
                    .add(&parent.to_ne_bytes(), Worth::Given(BACK_BITS));
            }
            Expected::Index {
                landmark,
                further_bytes,
                bits,
            } => {
                let indices = indices_of(sight.buffer, landmark, *further_bytes);
                self.retain(sample, bytes, |candidate| {
                    let index = index_at(bytes, candidate.offset);
                    index.is_some_and(|index| indices.contains(&index))
                });
                // What never moves could stand anywhere.
                let only = indices.first().copied().filter(|_| indices.len() == 1);
                if only.is_some() && self.last_index.is_some() && self.last_index != only {
                    self.evidence.add(&[], Worth::Drawn(*bits));
                }
                self.last_index = only;
            }
            Expected::Deadline { ahead_s, between } => {
                self.retain(sample, bytes, |candidate| {
                    number_at(bytes, candidate.offset)
                        .is_some_and(|found| candidate.clock.agree(*ahead_s, *between, found))
                });
                self.evidence
                    .add(&ahead_s.to_ne_bytes(), Worth::Given(DEADLINE_BITS));
            }
        }
    }

    /// Keeps the candidates that agree; before the first sample these are all offsets.
    fn retain(
        &mut self,
        sample: u32,
        bytes: &[u8],
        mut agrees: impl FnMut(&mut Candidate) -> bool,
    ) {
        let before = self.candidates.as_ref().map(Vec::len);
        let mut fallen = Vec::new();
        match &mut self.candidates {
            Some(candidates) => candidates.retain_mut(|candidate| {
                let stays = agrees(candidate);
                if !stays {
                    remember(&mut fallen, candidate.offset);
                }
                stays
            }),
            none => {
                let size = self.spec.place.size_bytes() as usize;
                let places = (bytes.len() + 1).saturating_sub(size);
                let every = (0..places).step_by(self.spec.align_bytes as usize);
                self.evidence.searched(every.len());
                let candidates = every.filter_map(|offset| {
                    let mut candidate = Candidate {
                        offset: offset as u32,
                        ..Candidate::default()
                    };
                    agrees(&mut candidate).then_some(candidate)
                });
                *none = Some(candidates.collect());
            }
        }
        self.note(sample, before, fallen, false);
    }

    fn note(
        &mut self,
        sample: u32,
        before: Option<usize>,
        fallen: Vec<u32>,
        by_search_behind: bool,
    ) {
        let left = self.candidates.as_ref().map_or(0, Vec::len);
        if before != Some(left) {
            let is_told = fallen.len() <= FALLEN;
            self.trail.push(Change {
                sample,
                left,
                fallen: if is_told { fallen } else { Vec::new() },
                by_search_behind,
            });
        }
    }

    /// Drops candidates of a pointer behind which the search found nothing.
    pub fn refute(&mut self, sample: u32, refuted: impl Fn(u32) -> bool) {
        let before = self.candidates.as_ref().map(Vec::len);
        if let Some(candidates) = &mut self.candidates {
            let mut fallen = Vec::new();
            candidates.retain(|candidate| {
                let stays = !refuted(candidate.offset);
                if !stays {
                    remember(&mut fallen, candidate.offset);
                }
                stays
            });
            self.note(sample, before, fallen, true);
        }
    }

    /// The offsets that are left; none before the first sample.
    #[must_use]
    pub fn alive(&self) -> Option<Vec<u32>> {
        let candidates = self.candidates.as_ref()?;
        Some(candidates.iter().map(|left| left.offset).collect())
    }

    /// The offset, if exactly one is left.
    #[must_use]
    pub fn only(&self) -> Option<u32> {
        match self.candidates.as_deref() {
            Some([only]) => Some(only.offset),
            _ => None,
        }
    }

    /// Whether one offset is left and enough is known to be sure of it, by its own samples.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        let is_sure = match self.spec.kind {
            Kind::Pointer { .. } => true,
            _ => self.evidence.net_bits() >= ENOUGH_BITS,
        };
        self.is_empty() || self.only().is_some() && is_sure
    }

    /// Whether samples were seen and none of the offsets outlived them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.candidates.as_ref().is_some_and(Vec::is_empty)
    }
}

/// One more than can be told says that there were too many.
fn remember(fallen: &mut Vec<u32>, offset: u32) {
    if fallen.len() <= FALLEN {
        fallen.push(offset);
    }
}

/// Where a landmark begins, and so many bytes further. Mostly one place; but an earlier packet of the
/// same socket may still be in memory behind this one.
pub fn indices_of(buffer: &[u8], landmark: &[u8], further_bytes: i32) -> Vec<u16> {
    // Almost every place is ruled out by its first byte.
    let first = landmark.first();
    let begins = buffer
        .iter()
        .enumerate()
        .filter(|(at, byte)| Some(*byte) == first && buffer[*at..].starts_with(landmark));
    begins
        .map(|(at, _)| at)
        .filter_map(|at| i32::try_from(at).ok()?.checked_add(further_bytes))
        .filter_map(|index| u16::try_from(index).ok())
        .collect()
}

fn index_at(bytes: &[u8], offset: u32) -> Option<u16> {
    let at = offset as usize;
    let index = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes(index.try_into().ok()?))
}

fn word_at(bytes: &[u8], offset: u32) -> Option<u64> {
    let at = offset as usize;
    let word = bytes.get(at..at + 8)?;
    Some(u64::from_ne_bytes(word.try_into().ok()?))
}

fn number_at(bytes: &[u8], offset: u32) -> Option<u32> {
    let at = offset as usize;
    let number = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(number.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use shared::offsets::Field;

    use super::*;
    use crate::fields::Event;
    use crate::fields::Place;

    #[test]
    fn a_landmark_is_found_wherever_it_is() {
        for (buffer, landmark, further, indices) in [
            (&b"..abc."[..], &b"abc"[..], 4, &[6][..]),
            (b"..abc.", b"abc", -2, &[0]),
            (b"..abc.", b"abc", -3, &[]),
            (b"abcabc", b"abc", 0, &[0, 3]),
            (b"ab", b"abc", 0, &[]),
        ] {
            assert_eq!(indices_of(buffer, landmark, further), indices);
        }
    }

    #[test]
    fn a_list_is_no_object_but_a_neighbour_may_be_one() {
        let address = 0xffff_8880_0000_4000_u64;
        let way = Way::to_shown(Event::Packet);
        let mut track = Track::new(Place::Field(Field::SkBuffSk).spec(), way);
        let mut bytes = vec![0; 512];
        for (at, word) in [(64, address + 64), (72, address + 64), (104, address + 256)] {
            bytes[at..at + 8].copy_from_slice(&word.to_ne_bytes());
        }
        let sight = Sight {
            bytes: &bytes,
            address,
            parent_address: address,
            buffer: &[],
        };
        track.observe(1, &Expected::Object { id: 1, tag: 0 }, sight);
        assert_eq!(track.alive().as_deref(), Some(&[104][..]));
    }
}
