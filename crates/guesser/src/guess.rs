//! One attempt: rounds of experiments, each captured as far as the solver has come, until it is
//! settled.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use anyhow::bail;
use shared::offsets::Field;

use crate::fields::Event;
use crate::fields::Place;
use crate::sample::camera::Shot;
use crate::sample::camera::Witness;
use crate::solve::Solver;
use crate::solve::sample::Sample;
use crate::solve::sample::View;
use crate::way::Order;
use crate::way::Read;
use crate::way::Reading;

/// A field that is still not alone after so many rounds never will be.
const MAX_ROUNDS: usize = 8;

/// Where in what the hooks show their marks are, as far as that is known.
pub type Marks = BTreeMap<Event, usize>;

/// A solver that looks at the shots.
#[derive(Debug)]
pub struct Search {
    /// The searches.
    pub solver: Solver,
    /// The samples so far, if they are kept.
    pub samples: Vec<Sample>,
    /// How many samples there were at the end of each round.
    pub rounds: Vec<usize>,
    /// Whether to keep them with all that was read.
    keeps: bool,
    marks: Marks,
}

impl Search {
    /// A search that has not begun. It keeps the samples if asked to.
    #[must_use]
    pub fn new(fields: &[Field], keeps: bool, marks: Marks) -> Self {
        Self {
            solver: Solver::new(fields),
            samples: Vec::new(),
            rounds: Vec::new(),
            keeps,
            marks,
        }
    }

    /// Takes a sample as recorded, as if it had just been made.
    pub fn take(&mut self, sample: Sample) {
        self.solver.observe(&sample);
        self.solver.advance();
        let views = if self.keeps { sample.views } else { Vec::new() };
        self.samples.push(Sample { views, ..sample });
    }

    /// Ends a round of samples.
    pub fn end_round(&mut self) {
        self.rounds.push(self.samples.len());
    }
}

impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.solver.fields();
        let is_proven = |field: &&Field| self.solver.proven(Place::Field(**field)).is_some();
        let proven = fields.iter().filter(is_proven).count();
        write!(f, "{proven} of {} fields proven", fields.len())
    }
}

impl Witness for Search {
    fn order(&self, event: Event, unknown: &[Place]) -> Option<Rc<Order>> {
        // Without a hook that works there is no mark, and nothing to be seen.
        self.marks.get(&event)?;
        self.solver.order(event, unknown).map(Rc::new)
    }

    fn look(&mut self, shot: Shot) -> bool {
        let event = shot.order.event();
        let place = self.marks.get(&event).copied();
        let is_ours = |readings: &Vec<Reading>| {
            let at = mark_at(shot.mark, readings);
            at.is_some() && at == place
        };
        let (mut ours, _): (Vec<_>, Vec<_>) = shot.events.into_iter().partition(is_ours);
        // A packet is queued once; a route may be looked up in one table after the other.
        if ours.is_empty() || event == Event::Packet && ours.len() > 1 {
            return false;
        }
        let ours = ours.swap_remove(0);
        let reads = shot.order.reads().zip(ours);
        let view = |(read, reading): (&Read, Reading)| View {
            way: read.way.clone(),
            address: reading.address,
            parent_address: reading.parent_address,
            bytes: reading.bytes,
        };
        self.take(Sample {
            name: shot.name,
            event,
            expected: shot.expected,
            views: reads.map(view).collect(),
        });
        true
    }

    fn is_done(&self, places: &[Place]) -> bool {
        !places.iter().any(|place| self.solver.is_open(*place))
    }
}

/// Where in what the hook shows the mark is that we gave it, a number which no other event has, in
/// words. An event without it is not ours.
#[must_use]
pub fn mark_at(mark: u32, readings: &[Reading]) -> Option<usize> {
    let mark = mark.to_ne_bytes();
    let shown = readings.first()?;
    shown.bytes.chunks_exact(4).position(|word| word == mark)
}

/// Takes rounds of samples until every field is proven or hopeless.
///
/// # Errors
/// If an experiment cannot be made, or shows nothing.
pub fn guess(
    search: &mut Search,
    mut round: impl FnMut(&mut Search) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for number in 0..MAX_ROUNDS {
        round(search)?;
        if search.samples.is_empty() {
            bail!("no event of ours was seen");
        }
        search.end_round();
        log::debug!("round {number}: {} samples so far", search.samples.len());
        if search.solver.is_settled() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_ours_if_it_holds_the_mark_in_one_place() {
        let mark = 0x0102_0304_u32;
        let reading = |bytes: &[u8]| Reading {
            address: 1,
            parent_address: 1,
            bytes: bytes.to_vec(),
        };
        let mut shown = vec![0; 64];
        assert_eq!(mark_at(mark, &[reading(&shown)]), None);
        assert_eq!(mark_at(mark, &[]), None);
        shown[22..26].copy_from_slice(&mark.to_ne_bytes());
        assert_eq!(mark_at(mark, &[reading(&shown)]), None, "across two words");
        shown[40..44].copy_from_slice(&mark.to_ne_bytes());
        assert_eq!(mark_at(mark, &[reading(&shown)]), Some(10));
        // In another object it says nothing of the event.
        assert_eq!(mark_at(mark, &[reading(&[0; 64]), reading(&shown)]), None);
    }
}
