//! Makes one event and takes what the kernel side saw meanwhile. Who looks at it decides whether it
//! is ours; if it was not seen, it is made again.

use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use crate::bpf::Hooks;
use crate::fields::Event;
use crate::fields::Place;
use crate::path::ReadPlan;
use crate::path::Reading;
use crate::solve::sample::Expectations;
use fastrand::Rng;

/// How often an event is made anew if it was not seen.
const TRIES: usize = 4;

/// What was read at each of some events: one reading per read of the order.
pub type Events = Vec<Vec<Reading>>;

/// An event that we made, and what was seen of it.
#[derive(Debug)]
pub struct Observation {
    /// What it was, for people.
    pub name: String,
    /// A number in it that no other event has.
    pub mark: u32,
    /// What was read.
    pub plan: Rc<ReadPlan>,
    /// What must be there.
    pub expected: Expectations,
    /// What was there, at each event of this thread meanwhile.
    pub events: Events,
}

/// Who looks at the shots.
pub trait Observer {
    /// What to read at such an event, in which nothing is known behind the pointers in `unknown`;
    /// none if it is of no interest.
    fn plan(&self, event: Event, unknown: &[Place]) -> Option<Rc<ReadPlan>>;

    /// Looks; says whether the event was there. If not, it is made again.
    fn observe(&mut self, observation: Observation) -> bool;

    /// Whether more samples of a place are of use.
    fn is_open(&self, place: Place) -> bool;
}

/// What happened besides the samples.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Shots that showed what they were made for.
    pub samples: u32,
    /// Events beside those, and events for which there was no room.
    pub others: u32,
    /// Shots that showed nothing.
    pub void: u32,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            samples,
            others,
            void,
        } = self;
        write!(
            f,
            "{samples} samples; {others} other events; {void} shots void"
        )
    }
}

/// Takes samples.
pub struct Sampler<'a, 'obj> {
    /// The kernel side.
    pub hooks: &'a mut Hooks<'obj>,
    /// Source of marks, addresses and order.
    pub random: &'a mut Rng,
    /// When the clock of all samples was started.
    pub started: Instant,
    /// What happened so far.
    pub tally: &'a mut Tally,
    /// Who looks.
    pub observer: &'a mut dyn Observer,
}

/// One thing to do that causes an event.
pub struct Trigger<'a> {
    /// What it is, for people.
    pub name: String,
    /// The event.
    pub event: Event,
    /// Pointers behind which nothing is known in it.
    pub unknown: &'static [Place],
    /// Whether it can be done again.
    pub repeats: bool,
    /// Gives it a mark, the one that is proposed if it can, and returns it; not watched.
    pub prepare: &'a mut dyn FnMut(u32) -> anyhow::Result<u32>,
    /// Does it; watched.
    pub perform: &'a mut dyn FnMut() -> anyhow::Result<()>,
    /// What it must show; none if it did not go as it should.
    pub expect: &'a mut dyn FnMut(u32) -> Option<Expectations>,
}

impl Sampler<'_, '_> {
    /// Does something until its event was seen; says whether it was.
    ///
    /// # Errors
    /// If it cannot be done.
    pub fn take(&mut self, act: Trigger<'_>) -> anyhow::Result<bool> {
        let Some(plan) = self.observer.plan(act.event, act.unknown) else {
            return Ok(false);
        };
        for _ in 0..if act.repeats { TRIES } else { 1 } {
            let mark = (act.prepare)(self.random.u32(1..))?;
            self.hooks.arm(&plan, self.random.u64(..) | 1);
            let performed = (act.perform)();
            let answers = self.hooks.disarm(&plan);
            performed?;
            let seen = answers.hits.len() as u32;
            let looked = (act.expect)(mark).is_some_and(|expected| {
                self.observer.observe(Observation {
                    name: act.name.clone(),
                    mark,
                    plan: Rc::clone(&plan),
                    expected,
                    events: answers.hits,
                })
            });
            self.tally.others += answers.unread + seen - u32::from(looked).min(seen);
            if looked {
                self.tally.samples += 1;
                return Ok(true);
            }
            self.tally.void += 1;
        }
        Ok(false)
    }
}
