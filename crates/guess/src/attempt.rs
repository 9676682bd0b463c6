//! One attempt: rounds of experiments until the solver is settled. Each sample captures what the solver can
//! use at that time.

use std::rc::Rc;

use anyhow::bail;
use shared::offsets::Field;

use crate::fields::Event;
use crate::fields::Place;
use crate::path::Read;
use crate::path::ReadPlan;
use crate::path::Reading;
use crate::sample::mark::Marks;
use crate::sample::mark::mark_at;
use crate::sample::mark::ours;
use crate::sample::sampler::Observation;
use crate::sample::sampler::Observer;
use crate::solve::Solver;
use crate::solve::sample::Sample;
use crate::solve::sample::View;

/// After this many rounds, a field with several candidates will keep them.
const MAX_ROUNDS: u32 = 8;

/// A solver, and the samples that it was given.
#[derive(Debug)]
pub struct Attempt {
    /// The searches.
    pub solver: Solver,
    /// The samples so far, without the bytes that were read, unless these are kept.
    pub samples: Vec<Sample>,
    /// The number of samples at the end of each round.
    pub rounds: Vec<usize>,
    keeps_views: bool,
    marks: Marks,
}

impl Attempt {
    /// An attempt that observes no kernel and is given samples. `keeps_views` says whether it keeps their
    /// bytes.
    #[must_use]
    pub fn offline(fields: &[Field], keeps_views: bool) -> Self {
        Self::new(fields, keeps_views, Marks::new())
    }

    /// An attempt that has not begun; `keeps_views` says whether its samples keep the bytes that were read.
    pub(crate) fn new(fields: &[Field], keeps_views: bool, marks: Marks) -> Self {
        Self {
            solver: Solver::new(fields),
            samples: Vec::new(),
            rounds: Vec::new(),
            keeps_views,
            marks,
        }
    }

    /// Takes a sample, whether it is recorded or new.
    pub fn take(&mut self, mut sample: Sample) {
        self.solver.observe(&sample);
        self.solver.advance();
        if !self.keeps_views {
            sample.views = Vec::new();
        }
        self.samples.push(sample);
    }

    /// Ends a round of samples.
    pub fn end_round(&mut self) {
        self.rounds.push(self.samples.len());
    }
}

impl Observer for Attempt {
    fn plan(&self, event: Event, unknown: &[Place]) -> Option<Rc<ReadPlan>> {
        // Without a working hook the place of the mark is unknown, and nothing can be seen.
        self.marks.get(&event)?;
        self.solver.plan(event, unknown).map(Rc::new)
    }

    fn observe(&mut self, observation: Observation) -> bool {
        let event = observation.plan.event();
        let Some(place) = self.marks.get(&event) else {
            return false;
        };
        let is_ours = |readings: &[Reading]| mark_at(observation.mark, readings) == Some(*place);
        let Some(ours) = ours(event, observation.events, is_ours) else {
            return false;
        };
        let reads = observation.plan.reads().zip(ours);
        let view = |(read, reading): (&Read, Reading)| View {
            path: read.path.clone(),
            address: reading.address,
            parent_address: reading.parent_address,
            bytes: reading.bytes,
        };
        self.take(Sample {
            name: observation.name,
            event,
            expected: observation.expected,
            views: reads.map(view).collect(),
        });
        true
    }

    fn is_open(&self, place: Place) -> bool {
        self.solver.is_open(place)
    }
}

/// Runs rounds, numbered from 0, until every field is proven or can no longer be found.
///
/// # Errors
/// If an experiment fails, or no event is seen.
pub fn run_rounds(
    attempt: &mut Attempt,
    mut round: impl FnMut(&mut Attempt, u32) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for number in 0..MAX_ROUNDS {
        round(attempt, number)?;
        if attempt.samples.is_empty() {
            bail!("no event of ours was seen");
        }
        attempt.end_round();
        log::debug!("round {number}: {} samples so far", attempt.samples.len());
        if attempt.solver.is_settled() {
            break;
        }
    }
    Ok(())
}
