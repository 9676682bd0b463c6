//! One attempt: rounds of experiments, each captured as far as the solver has come, until it is
//! settled.

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

/// A field that still has several candidates after so many rounds will keep them.
const MAX_ROUNDS: u32 = 8;

/// A solver, and the samples that it was given.
#[derive(Debug)]
pub struct Attempt {
    /// The searches.
    pub solver: Solver,
    /// The samples so far; without what was read, unless that is kept.
    pub samples: Vec<Sample>,
    /// How many samples there were at the end of each round.
    pub rounds: Vec<usize>,
    keeps_views: bool,
    marks: Marks,
}

impl Attempt {
    /// An attempt that observes no kernel: it is given samples. It keeps what was read if asked to.
    #[must_use]
    pub fn offline(fields: &[Field], keeps_views: bool) -> Self {
        Self::new(fields, keeps_views, Marks::new())
    }

    /// An attempt that has not begun; `keeps_views` if its samples keep what was read.
    pub(crate) fn new(fields: &[Field], keeps_views: bool, marks: Marks) -> Self {
        Self {
            solver: Solver::new(fields),
            samples: Vec::new(),
            rounds: Vec::new(),
            keeps_views,
            marks,
        }
    }

    /// Takes a sample as recorded, as if it had just been made.
    pub fn take(&mut self, sample: Sample) {
        self.solver.observe(&sample);
        self.solver.advance();
        let views = if self.keeps_views {
            sample.views
        } else {
            Vec::new()
        };
        self.samples.push(Sample { views, ..sample });
    }

    /// Ends a round of samples.
    pub fn end_round(&mut self) {
        self.rounds.push(self.samples.len());
    }
}

impl Observer for Attempt {
    fn plan(&self, event: Event, unknown: &[Place]) -> Option<Rc<ReadPlan>> {
        // Without a hook that works there is no mark, and nothing can be seen.
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

/// Runs rounds, numbered from 0, until every field is proven or hopeless.
///
/// # Errors
/// If an experiment cannot be made, or shows nothing.
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
