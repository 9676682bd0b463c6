//! Causes one event and captures what the programs read meanwhile. An observer decides whether the event
//! is ours; if it was not seen, it is caused again.

use std::fmt;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Instant;

use anyhow::Context as _;
use fastrand::Rng;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt;

use crate::bpf::Hooks;
use crate::fields::Event;
use crate::fields::Place;
use crate::options::Stopped;
use crate::path::ReadPlan;
use crate::path::Reading;
use crate::solve::sample::Expectations;

/// How often an event is caused until it is seen.
const TRIES: usize = 4;

/// An event that we caused, and what was seen of it.
#[derive(Debug)]
pub struct Observation {
    /// A description for people.
    pub name: String,
    /// A number in the event that no other event has.
    pub mark: u32,
    /// What was read.
    pub plan: Rc<ReadPlan>,
    /// What must be there.
    pub expected: Expectations,
    /// What was there, at each event of this thread meanwhile: one reading per read of the plan.
    pub events: Vec<Vec<Reading>>,
}

/// Evaluates observations.
pub trait Observer {
    /// What to read at such an event, in which nothing is known behind the pointers in `unknown`;
    /// none if the event is of no interest.
    fn plan(&self, event: Event, unknown: &[Place]) -> Option<Rc<ReadPlan>>;

    /// Takes an observation and returns whether our event was there. If not, it is caused again.
    fn observe(&mut self, observation: Observation) -> bool;

    /// Whether more samples of a place are of use.
    fn is_open(&self, place: Place) -> bool;
}

/// Counters for the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Attempts that showed our event.
    samples: u32,
    /// Events of others, and events for which there was no room.
    others: u32,
    /// Attempts that did not show our event.
    void: u32,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples; {} ", self.samples, self.others)?;
        write!(f, "other events; {} attempts without a sample", self.void)
    }
}

/// Takes samples.
pub struct Sampler<'a, 'obj> {
    /// The capture programs.
    pub hooks: &'a mut Hooks<'obj>,
    /// Source of marks, addresses and order.
    pub random: &'a mut Rng,
    /// When the clock of all samples was started.
    pub started: Instant,
    /// Asks whether to give up, which ends the round soon.
    pub stopped: &'a Stopped,
    /// Counters so far.
    pub tally: &'a mut Tally,
    /// Evaluates the samples.
    pub observer: &'a mut dyn Observer,
}

/// An action that causes an event.
pub struct Trigger<'a> {
    /// A description for people.
    pub name: String,
    /// The event.
    pub event: Event,
    /// Pointers behind which nothing is known at this event.
    pub unknown: &'static [Place],
    /// Whether the action can be repeated.
    pub repeats: bool,
    /// The socket that gets the mark.
    pub socket: &'a OwnedFd,
    /// The mark, if it cannot be any.
    pub mark: Option<u32>,
}

impl<'a> Trigger<'a> {
    /// A packet of this socket with any mark; it can be sent again.
    pub const fn packet(name: String, socket: &'a OwnedFd) -> Self {
        Self {
            name,
            event: Event::Packet,
            unknown: &[],
            repeats: true,
            socket,
            mark: None,
        }
    }
}

impl Sampler<'_, '_> {
    /// Performs an action until its event was seen, and returns whether it was. `expect` is given the mark
    /// and what the action returned; it returns what the event must show, or none if the action did not
    /// go as it should.
    ///
    /// # Errors
    /// If the action fails.
    pub fn take<T>(
        &mut self,
        trigger: Trigger<'_>,
        mut perform: impl FnMut() -> anyhow::Result<T>,
        mut expect: impl FnMut(u32, T) -> Option<Expectations>,
    ) -> anyhow::Result<bool> {
        let plan = self.observer.plan(trigger.event, trigger.unknown);
        let Some(plan) = plan.filter(|_| !(self.stopped)()) else {
            return Ok(false);
        };
        for _ in 0..if trigger.repeats { TRIES } else { 1 } {
            let drawn = self.random.u32(1..);
            let mark = trigger.mark.unwrap_or(drawn);
            setsockopt(trigger.socket, sockopt::Mark, &mark).context("set SO_MARK")?;
            self.hooks.arm(&plan, self.random.u64(..) | 1);
            let performed = perform();
            let answers = self.hooks.disarm(&plan);
            let expected = expect(mark, performed?);
            let events = answers.hits.len() as u32;
            let is_seen = expected.is_some_and(|expected| {
                self.observer.observe(Observation {
                    name: trigger.name.clone(),
                    mark,
                    plan: Rc::clone(&plan),
                    expected,
                    events: answers.hits,
                })
            });
            self.tally.others += answers.unread + events - u32::from(is_seen).min(events);
            if is_seen {
                self.tally.samples += 1;
                return Ok(true);
            }
            self.tally.void += 1;
        }
        Ok(false)
    }
}
