//! The peers' algorithm: one candidate per event, the first match wins, nothing is verified. Pure: events are
//! made and read behind [`World`].

use std::fmt;

use crate::plan::Expected;
use crate::plan::FAMILY;
use crate::plan::INUM;
use crate::plan::Kind;
use crate::plan::Object;
use crate::plan::Peer;
use crate::plan::Start;
use crate::plan::Step;

/// Number of events that may stay unseen in one attempt.
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

/// What the program read.
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
    /// Makes one event at which a program reads the candidate; none if no program saw it.
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

/// The pointer leads to the namespace in which the event was made.
fn is_of_netns(answer: &Answer, expected: &Expected) -> bool {
    !answer.failed && answer.value == u64::from(expected.netns)
}

/// One attempt.
pub struct Search<'a> {
    world: &'a mut dyn World,
    skips: bool,
    unseen: u32,
    /// Events made so far.
    pub events: u64,
    /// What was found so far.
    pub found: Vec<Found>,
    /// Begin and end of what was found, by struct.
    occupied: Vec<(Object, u64, u64)>,
}

impl<'a> Search<'a> {
    /// Starts with what an earlier search found.
    pub fn new(world: &'a mut dyn World, peer: &Peer, found: Vec<Found>) -> Self {
        Self {
            world,
            skips: peer.skips,
            unseen: 0,
            events: 0,
            found,
            occupied: Vec::new(),
        }
    }

    /// Finds the fields of all steps in order, or gives up at the first that it cannot find.
    ///
    /// # Errors
    /// [`GivenUp`], or an event that cannot be made.
    pub fn run(&mut self, steps: &[Step]) -> anyhow::Result<()> {
        for step in steps {
            match step.kind {
                Kind::Value {
                    bytes,
                    align,
                    must_be,
                } => {
                    let candidate = self.candidate(step, bytes, align);
                    let matches =
                        |answer: &Answer, expected: &Expected| answer.value == must_be(expected);
                    self.scan(step, candidate, bytes, matches)?;
                }
                Kind::NetAndInum => self.net_and_inum(step)?,
                Kind::Net => {
                    let mut candidate = self.candidate(step, 4, 8);
                    candidate.inner = Some(self.offset_of(INUM).unwrap_or(0));
                    self.scan(step, candidate, step.occupies, is_of_netns)?;
                }
                Kind::RoundTrip => self.round_trip(step)?,
            }
        }
        Ok(())
    }

    /// Tries one offset after the other until the answer matches.
    fn scan(
        &mut self,
        step: &Step,
        mut candidate: Candidate,
        bytes: u64,
        matches: impl Fn(&Answer, &Expected) -> bool,
    ) -> anyhow::Result<()> {
        loop {
            let (answer, expected) = self.ask(step, &candidate)?;
            if let Some(free) = self.skip(step.object, answer.offset, bytes) {
                candidate.offset = free;
            } else if matches(&answer, &expected) {
                self.record(step, answer.offset);
                return Ok(());
            } else {
                candidate.offset = answer.offset + 1;
            }
        }
    }

    /// Tries every distance behind one pointer, then the next pointer. The start is only a hint: if nothing
    /// matches there, a peer that skips begins again at the family.
    fn net_and_inum(&mut self, step: &Step) -> anyhow::Result<()> {
        let mut candidate = self.candidate(step, 4, 8);
        candidate.inner = Some(0);
        let mut is_hint = self.skips;
        loop {
            let (answer, expected) = self.ask(step, &candidate)?;
            if let Some(free) = self.skip(step.object, answer.offset, step.occupies) {
                candidate.offset = free;
            } else if is_of_netns(&answer, &expected) {
                self.record(step, answer.offset);
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
                    self.record(step, answer.offset);
                    return Ok(());
                }
            }
            candidate.offset = answer.offset + 1;
        }
    }

    fn candidate(&self, step: &Step, bytes: u64, align_of: u64) -> Candidate {
        // Other peers try every byte.
        let align = |align| if self.skips { align } else { 1 };
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

    /// The end of a field that is already found there.
    fn skip(&self, object: Object, offset: u64, bytes: u64) -> Option<u64> {
        let overlaps = |&&(of, begin, end): &&(Object, u64, u64)| {
            self.skips && of == object && offset < end && begin < offset + bytes
        };
        self.occupied.iter().find(overlaps).map(|&(_, _, end)| end)
    }

    fn record(&mut self, step: &Step, offset: u64) {
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
