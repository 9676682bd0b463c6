//! The possible offsets of a place, and when the others were dropped. Why a candidate is dropped is decided
//! elsewhere.

use std::mem;

use super::addresses::Addresses;
use super::clock::Clock;

/// An offset that is still possible.
#[derive(Debug, Clone, Default)]
pub struct Candidate {
    /// The offset.
    pub offset: u32,
    /// For a pointer: whether the struct behind it is searched.
    is_followed: bool,
    /// What was there so far, if that matters. It is boxed because most places hold plain values and most
    /// candidates are dropped at once.
    seen: Option<Box<Seen>>,
}

/// What a candidate has shown so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// For a pointer.
    pub addresses: Addresses,
    /// For a deadline.
    pub clock: Clock,
}

impl Candidate {
    /// What it has shown so far.
    pub fn seen(&mut self) -> &mut Seen {
        self.seen.get_or_insert_default()
    }
}

/// If a sample drops more candidates than this, they are not listed.
const FALLEN: usize = 4;

/// When the number of candidates changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The number of the sample, from 1.
    pub sample: u32,
    /// How many candidates were left after it.
    pub left: usize,
    /// Which candidates it dropped; none if there were too many to list.
    pub fallen: Vec<u32>,
    /// Whether a search behind the pointer decided, rather than the value itself.
    pub by_search_behind: bool,
}

/// All candidates that are left.
#[derive(Debug, Clone, Default)]
pub struct Candidates {
    /// None before the first sample: every offset is possible.
    all: Option<Vec<Candidate>>,
    /// When the others were dropped.
    pub trail: Vec<Change>,
    has_changed: bool,
}

impl Candidates {
    /// Keeps those that agree with a sample. Before the first sample, `every` offset is a candidate.
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
        let agreeing = every.filter_map(|offset| {
            let mut one = Candidate {
                offset,
                ..Candidate::default()
            };
            agrees(&mut one).then_some(one)
        });
        let all: Vec<Candidate> = agreeing.collect();
        self.note(sample, all.len(), Vec::new(), false);
        self.all = Some(all);
    }

    /// Drops the candidates of a pointer behind which a search found nothing.
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
            // One more than the limit means that there were too many.
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
        let fallen = Some(fallen).filter(|fallen| fallen.len() <= FALLEN);
        self.trail.push(Change {
            sample,
            left,
            fallen: fallen.unwrap_or_default(),
            by_search_behind,
        });
    }

    /// Those of the first `most` candidates that have not been followed yet.
    pub fn follow(&mut self, most: usize) -> impl Iterator<Item = u32> {
        let first = self.all.iter_mut().flatten().take(most);
        first.filter_map(|one| {
            let was_followed = mem::replace(&mut one.is_followed, true);
            (!was_followed).then_some(one.offset)
        })
    }

    /// Whether any were dropped since the last call.
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

    /// Whether samples have dropped every offset.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left() == Some(0)
    }
}
