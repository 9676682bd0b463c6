//! One field along one way: which offsets no sample has contradicted, and what the samples prove.

use super::addresses::Addresses;
use super::evidence::Evidence;
use super::sample::Expected;
use crate::fields::Kind;
use crate::fields::Spec;
use crate::way::Way;

/// An offset that is still possible.
#[derive(Debug, Clone)]
struct Candidate {
    offset: u32,
    /// Of a pointer: what stood there.
    addresses: Addresses,
}

/// When the number of candidates changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Number of the sample, from 1.
    pub sample: u32,
    /// How many candidates were left after it.
    pub left: usize,
    /// Whether a search behind the pointer decided, rather than the value itself.
    pub by_search_behind: bool,
}

/// The search for one field in the object at the end of one way.
#[derive(Debug, Clone)]
pub struct Track {
    /// The field.
    pub spec: &'static Spec,
    /// How its struct is reached.
    pub way: Way,
    /// None before the first sample: every place is possible.
    candidates: Option<Vec<Candidate>>,
    /// What the matches prove; of a pointer, nothing by itself.
    pub evidence: Evidence,
    /// How the candidates died.
    pub trail: Vec<Change>,
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
        }
    }

    /// Drops every candidate that disagrees with a sample: the bytes of the struct, up to the
    /// first that could not be read. A place that cannot be read is no field.
    pub fn observe(&mut self, sample: u32, expected: &Expected, bytes: &[u8]) {
        let size = self.spec.field.size_bytes() as usize;
        let candidates = self
            .candidates
            .get_or_insert_with(|| every_place(bytes.len(), size, self.spec.align_bytes as usize));
        self.evidence.searched(candidates.len());
        let before = (!self.trail.is_empty()).then_some(candidates.len());
        match expected {
            Expected::Bytes { bytes: value, bits } => {
                candidates.retain(|candidate| {
                    let at = candidate.offset as usize;
                    value.len() == size && bytes.get(at..at + size) == Some(value)
                });
                self.evidence.add(value, *bits);
            }
            Expected::Object { id, tag } => {
                let Kind::Pointer { tag_mask, .. } = self.spec.kind else {
                    candidates.clear();
                    return;
                };
                candidates.retain_mut(|candidate| {
                    word_at(bytes, candidate.offset as usize).is_some_and(|word| {
                        word & tag_mask == *tag && candidate.addresses.agree(*id, word & !tag_mask)
                    })
                });
                self.evidence.add(&id.to_ne_bytes(), 0);
            }
        }
        let left = candidates.len();
        if before != Some(left) {
            self.trail.push(Change {
                sample,
                left,
                by_search_behind: false,
            });
        }
    }

    /// Drops candidates of a pointer behind which the search found nothing.
    pub fn refute(&mut self, sample: u32, refuted: impl Fn(u32) -> bool) {
        let Some(candidates) = &mut self.candidates else {
            return;
        };
        let before = candidates.len();
        candidates.retain(|candidate| !refuted(candidate.offset));
        if candidates.len() != before {
            self.trail.push(Change {
                sample,
                left: candidates.len(),
                by_search_behind: true,
            });
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

    /// Whether samples were seen and none of the offsets outlived them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.candidates.as_ref().is_some_and(Vec::is_empty)
    }
}

fn every_place(window: usize, size: usize, align: usize) -> Vec<Candidate> {
    let places = (window + 1).saturating_sub(size);
    (0..places)
        .step_by(align)
        .map(|offset| Candidate {
            offset: offset as u32,
            addresses: Addresses::default(),
        })
        .collect()
}

fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..at + 8)?;
    Some(u64::from_ne_bytes(word.try_into().ok()?))
}
