//! The offsets at which a place may still be, and how the others died. What makes one die is not
//! known here.

use std::mem;

use super::addresses::Addresses;
use super::clock::Clock;

/// An offset that is still possible.
#[derive(Debug, Clone, Default)]
pub struct Candidate {
    /// Where.
    pub offset: u32,
    /// Of a pointer: whether what lies behind it is searched.
    is_followed: bool,
    /// What stood there, if that matters. Apart, since most places hold plain values and most offsets
    /// die at once.
    seen: Option<Box<Seen>>,
}

/// What a candidate has shown so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Of a pointer.
    pub addresses: Addresses,
    /// Of a deadline.
    pub clock: Clock,
}

impl Candidate {
    /// What it has shown so far.
    pub fn seen(&mut self) -> &mut Seen {
        self.seen.get_or_insert_default()
    }
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

/// All that are left.
#[derive(Debug, Clone, Default)]
pub struct Candidates {
    /// None before the first sample: every offset is possible.
    all: Option<Vec<Candidate>>,
    /// How the others died.
    pub trail: Vec<Change>,
    has_changed: bool,
}

impl Candidates {
    /// Keeps those that agree with a sample; before the first one these are `every` offset.
    pub fn retain(
        &mut self,
        sample: u32,
        every: impl Iterator<Item = u32>,
        mut agrees: impl FnMut(&mut Candidate) -> bool,
    ) {
        if self.all.is_some() {
            self.drop_unless(sample, agrees, false);
            return;
        }
        let fresh = every.map(|offset| Candidate {
            offset,
            ..Candidate::default()
        });
        let agreeing = fresh.filter_map(|mut one| agrees(&mut one).then_some(one));
        let all: Vec<Candidate> = agreeing.collect();
        self.note(sample, all.len(), Vec::new(), false);
        self.all = Some(all);
    }

    /// Drops those of a pointer behind which the search found nothing.
    pub fn refute(&mut self, sample: u32, refuted: &[u32]) {
        if !refuted.is_empty() {
            self.drop_unless(sample, |one| !refuted.contains(&one.offset), true);
        }
    }

    fn drop_unless(
        &mut self,
        sample: u32,
        mut stays: impl FnMut(&mut Candidate) -> bool,
        by_search_behind: bool,
    ) {
        let Some(all) = &mut self.all else {
            return;
        };
        let before = all.len();
        let mut fallen = Vec::new();
        all.retain_mut(|one| {
            let stays = stays(one);
            // One more than can be told says that there were too many.
            if !stays && fallen.len() <= FALLEN {
                fallen.push(one.offset);
            }
            stays
        });
        let left = all.len();
        if left != before {
            self.note(sample, left, fallen, by_search_behind);
        }
    }

    fn note(&mut self, sample: u32, left: usize, fallen: Vec<u32>, by_search_behind: bool) {
        self.has_changed = true;
        let is_told = fallen.len() <= FALLEN;
        self.trail.push(Change {
            sample,
            left,
            fallen: if is_told { fallen } else { Vec::new() },
            by_search_behind,
        });
    }

    /// The first so many, as far as they were not asked for before.
    pub fn follow(&mut self, most: usize) -> impl Iterator<Item = u32> {
        let first = self.all.iter_mut().flatten().take(most);
        first.filter_map(|one| {
            let was_followed = mem::replace(&mut one.is_followed, true);
            (!was_followed).then_some(one.offset)
        })
    }

    /// Whether any died since this was asked last.
    pub fn take_change(&mut self) -> bool {
        mem::take(&mut self.has_changed)
    }

    /// How many are left; none before the first sample.
    #[must_use]
    pub fn left(&self) -> Option<usize> {
        self.all.as_ref().map(Vec::len)
    }

    /// The offsets that are left; none before the first sample.
    #[must_use]
    pub fn alive(&self) -> Option<Vec<u32>> {
        let all = self.all.as_ref()?;
        Some(all.iter().map(|one| one.offset).collect())
    }

    /// Whether an offset is left.
    #[must_use]
    pub fn is_alive(&self, offset: u32) -> bool {
        self.all.iter().flatten().any(|one| one.offset == offset)
    }

    /// The offset, if exactly one is left.
    #[must_use]
    pub fn only(&self) -> Option<u32> {
        match self.all.as_deref() {
            Some([only]) => Some(only.offset),
            _ => None,
        }
    }

    /// Whether samples were seen and none of the offsets outlived them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left() == Some(0)
    }
}
