//! The peers' algorithm: one candidate per event, the first match is taken, and nothing is verified.
//! Pure: events are made, and read, behind [`World`].

use std::fmt;

use crate::plan::Expected;
use crate::plan::FAMILY;
use crate::plan::INUM;
use crate::plan::Kind;
use crate::plan::Object;
use crate::plan::Peer;
use crate::plan::Start;
use crate::plan::Step;

/// Events of one attempt that may stay unseen.
pub const UNSEEN_AT_MOST: u32 = 100;

/// What a program reads at the next event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    pub object: Object,
    pub offset: u64,
    /// How far behind the pointer at the offset the value is, if it is not there itself.
    pub inner: Option<u64>,
    pub bytes: u64,
    /// The program moves the place up to the next multiple.
    pub align: u64,
    pub inner_align: u64,
}

/// What it read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Where, after alignment.
    pub offset: u64,
    pub inner: u64,
    /// 0 if it failed.
    pub value: u64,
    pub failed: bool,
}

/// Where events happen.
pub trait World {
    /// Makes one event at which the candidate is read; none if no program saw it.
    ///
    /// # Errors
    /// If it cannot be made.
    fn event(&mut self, candidate: &Candidate) -> anyhow::Result<Option<(Answer, Expected)>>;
}

/// Why a peer gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GivenUp {
    /// Every offset below the bound was tried.
    #[error("{0}: nothing matched up to the last offset that is tried")]
    Overflow(&'static str),
    /// Too many events showed nothing.
    #[error("{0}: {UNSEEN_AT_MOST} events went unseen")]
    Unseen(&'static str),
}

/// A field that was found, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub field: &'static str,
    pub offset: u64,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.offset)
    }
}

/// One attempt.
pub struct Search<'a> {
    world: &'a mut dyn World,
    learnt: bool,
    unseen: u32,
    /// Events made so far.
    pub events: u64,
    /// What was found so far.
    pub found: Vec<Found>,
    /// Begin and end of what was found, by struct.
    occupied: Vec<(Object, u64, u64)>,
}

impl<'a> Search<'a> {
    /// Nothing is found yet but what an earlier search did.
    pub fn new(world: &'a mut dyn World, peer: &Peer, found: Vec<Found>) -> Self {
        Self {
            world,
            learnt: peer.learnt,
            unseen: 0,
            events: 0,
            found,
            occupied: Vec::new(),
        }
    }

    /// Finds the fields of all steps in their order, or gives up at the first that it cannot find.
    ///
    /// # Errors
    /// [`GivenUp`], or that of the world.
    pub fn run(&mut self, steps: &[Step]) -> anyhow::Result<()> {
        for step in steps {
            match step.kind {
                Kind::Value {
                    bytes,
                    align,
                    must_be,
                } => self.value(step, (bytes, align), must_be)?,
                Kind::NetAndInum => self.net_and_inum(step)?,
                Kind::Net => {
                    let inum = self.offset_of(INUM).unwrap_or(0);
                    self.net(step, inum)?;
                }
                Kind::RoundTrip => self.round_trip(step)?,
            }
        }
        Ok(())
    }

    fn value(
        &mut self,
        step: &Step,
        (bytes, align): (u64, u64),
        must_be: fn(&Expected) -> u64,
    ) -> anyhow::Result<()> {
        let mut candidate = self.candidate(step, bytes, align);
        loop {
            let (answer, expected) = self.ask(step, &candidate)?;
            if let Some(free) = self.skip(step.object, answer.offset, bytes) {
                candidate.offset = free;
            } else if answer.value == must_be(&expected) {
                self.take(step, answer.offset);
                return Ok(());
            } else {
                candidate.offset = answer.offset + 1;
            }
        }
    }

    fn net(&mut self, step: &Step, inum: u64) -> anyhow::Result<()> {
        let mut candidate = self.candidate(step, 4, 8);
        candidate.inner = Some(inum);
        loop {
            let (answer, expected) = self.ask(step, &candidate)?;
            if let Some(free) = self.skip(step.object, answer.offset, step.occupies) {
                candidate.offset = free;
            } else if !answer.failed && answer.value == u64::from(expected.netns) {
                self.take(step, answer.offset);
                return Ok(());
            } else {
                candidate.offset = answer.offset + 1;
            }
        }
    }

    /// Every distance behind one pointer, then the next pointer. Where the search begins is only a
    /// hint: without a match there, the learnt peer begins once more at the family.
    fn net_and_inum(&mut self, step: &Step) -> anyhow::Result<()> {
        let mut candidate = self.candidate(step, 4, 8);
        candidate.inner = Some(0);
        let mut is_hint = self.learnt;
        loop {
            let (answer, expected) = self.ask(step, &candidate)?;
            if let Some(free) = self.skip(step.object, answer.offset, step.occupies) {
                candidate.offset = free;
            } else if !answer.failed && answer.value == u64::from(expected.netns) {
                self.take(step, answer.offset);
                let (field, offset) = (INUM, answer.inner);
                self.found.push(Found { field, offset });
                return Ok(());
            } else if !answer.failed && answer.inner + 1 < step.bound {
                candidate.inner = Some(answer.inner + 1);
            } else {
                candidate.inner = Some(0);
                candidate.offset = match is_hint {
                    true => self.offset_of(FAMILY).unwrap_or(0),
                    false => answer.offset + 1,
                };
                is_hint = false;
            }
        }
    }

    fn round_trip(&mut self, step: &Step) -> anyhow::Result<()> {
        let mut candidate = self.candidate(step, 4, 4);
        loop {
            let (answer, expected) = self.ask(step, &candidate)?;
            if answer.value >> 3 == u64::from(expected.rtt_us) {
                let mut behind = candidate;
                behind.offset = answer.offset + 4;
                let (deviation, expected) = self.ask(step, &behind)?;
                if deviation.value >> 2 == u64::from(expected.rttvar_us) {
                    self.take(step, answer.offset);
                    return Ok(());
                }
            }
            candidate.offset = answer.offset + 1;
        }
    }

    fn candidate(&self, step: &Step, bytes: u64, align_of: u64) -> Candidate {
        // Who has learnt nothing tries every byte.
        let align = |align| if self.learnt { align } else { 1 };
        Candidate {
            object: step.object,
            offset: match step.start {
                Start::At(offset) => offset,
                Start::Behind(field, bytes) => self.offset_of(field).unwrap_or(0) + bytes,
            },
            inner: None,
            bytes,
            align: align(align_of),
            inner_align: align(bytes),
        }
    }

    fn ask(&mut self, step: &Step, candidate: &Candidate) -> anyhow::Result<(Answer, Expected)> {
        let field = step.fields[0].0;
        if candidate.offset >= step.bound {
            return Err(GivenUp::Overflow(field).into());
        }
        loop {
            self.events += 1;
            if let Some(seen) = self.world.event(candidate)? {
                return Ok(seen);
            }
            self.unseen += 1;
            if self.unseen == UNSEEN_AT_MOST {
                return Err(GivenUp::Unseen(field).into());
            }
        }
    }

    /// The end of what is known to be something else, if the place overlaps it.
    fn skip(&self, object: Object, offset: u64, bytes: u64) -> Option<u64> {
        let overlaps = |&&(of, begin, end): &&(Object, u64, u64)| {
            self.learnt && of == object && offset < end && begin < offset + bytes
        };
        self.occupied.iter().find(overlaps).map(|&(_, _, end)| end)
    }

    fn take(&mut self, step: &Step, offset: u64) {
        for (field, behind) in step.fields {
            self.found.push(Found {
                field,
                offset: offset + behind,
            });
        }
        let end = offset + step.occupies;
        self.occupied.push((step.object, offset, end));
    }

    fn offset_of(&self, field: &str) -> Option<u64> {
        let mut all = self.found.iter();
        all.find(|found| found.field == field)
            .map(|found| found.offset)
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
