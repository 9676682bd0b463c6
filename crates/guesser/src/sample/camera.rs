//! Makes one event and takes what the kernel side saw meanwhile. Who looks at it decides whether it
//! is ours; if it was not seen, it is made again.

use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use crate::bpf::Hooks;
use crate::fields::Event;
use crate::fields::Place;
use crate::random::Random;
use crate::solve::sample::Expectations;
use crate::way::Order;
use crate::way::Reading;

/// How often an event is made anew if it was not seen.
const TRIES: usize = 4;

/// What was read at each of some events: one reading per read of the order.
pub type Events = Vec<Vec<Reading>>;

/// An event that we made, and what was seen of it.
#[derive(Debug)]
pub struct Shot {
    /// What it was, for people.
    pub name: String,
    /// A number in it that no other event has.
    pub mark: u32,
    /// What was read.
    pub order: Rc<Order>,
    /// What must be there.
    pub expected: Expectations,
    /// What was there, at each event of this thread meanwhile.
    pub events: Events,
}

/// Who looks at the shots.
pub trait Witness {
    /// What to read at such an event, in which nothing is known behind the pointers in `unknown`;
    /// none if it is of no interest.
    fn order(&self, event: Event, unknown: &[Place]) -> Option<Rc<Order>>;

    /// Looks; says whether the event was there. If not, it is made again.
    fn look(&mut self, shot: Shot) -> bool;

    /// Whether it has seen enough of an event of which only these places are determined.
    fn is_done(&self, places: &[Place]) -> bool;
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
pub struct Camera<'a, 'obj> {
    /// The kernel side.
    pub hooks: &'a mut Hooks<'obj>,
    /// Source of marks, addresses and order.
    pub random: &'a mut Random,
    /// When the clock of all samples was started.
    pub started: Instant,
    /// What happened so far.
    pub tally: &'a mut Tally,
    /// Who looks.
    pub witness: &'a mut dyn Witness,
}

/// One thing to do that causes an event.
pub struct Act<'a> {
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

impl Camera<'_, '_> {
    /// Does something until its event was seen; says whether it was.
    ///
    /// # Errors
    /// If it cannot be done.
    pub fn take(&mut self, act: Act<'_>) -> anyhow::Result<bool> {
        let Some(order) = self.witness.order(act.event, act.unknown) else {
            return Ok(false);
        };
        for _ in 0..if act.repeats { TRIES } else { 1 } {
            let mark = (act.prepare)(self.random.mark())?;
            self.hooks.arm(&order, self.random.number() | 1);
            let performed = (act.perform)();
            let answers = self.hooks.disarm(&order);
            performed?;
            let seen = answers.hits.len() as u32;
            let looked = (act.expect)(mark).is_some_and(|expected| {
                self.witness.look(Shot {
                    name: act.name.clone(),
                    mark,
                    order: Rc::clone(&order),
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
