//! The fire test of a hook: causes events of a kind and checks whether the hook shows them at all.

use std::rc::Rc;

use super::datagram;
use super::datagram::State;
use super::mark::mark_at;
use super::route;
use super::route::Cause;
use super::sampler::Observation;
use super::sampler::Observer;
use super::sampler::Sampler;
use super::site::Site;
use super::stream;
use crate::expected::socket::Family;
use crate::fields::Event;
use crate::fields::Place;
use crate::path::AccessPath;
use crate::path::Read;
use crate::path::ReadPlan;

/// The event is caused this often, so that a single event of others cannot mislead the test.
const TIMES: usize = 3;

/// An observer that accepts any event of ours.
#[derive(Debug)]
pub struct Anything {
    event: Event,
    /// The word at which the marks were. The object that the hook shows may be followed in memory by
    /// another object of ours, which is then seen at events of others: so the lowest word is the right one.
    pub mark_at: Option<usize>,
}

impl Anything {
    /// Accepts this kind of event.
    pub const fn of(event: Event) -> Self {
        Self {
            event,
            mark_at: None,
        }
    }
}

impl Observer for Anything {
    fn plan(&self, event: Event, _unknown: &[Place]) -> Option<Rc<ReadPlan>> {
        let mut plan = ReadPlan::new(event);
        let all = Read::window(AccessPath::to_shown(event), event.shows());
        (event == self.event && plan.add(all)).then(|| Rc::new(plan))
    }

    fn observe(&mut self, observation: Observation) -> bool {
        let events = observation.events.iter();
        let first = events
            .filter_map(|readings| mark_at(observation.mark, readings))
            .min();
        self.mark_at = [self.mark_at, first].into_iter().flatten().min();
        first.is_some()
    }

    fn is_open(&self, _place: Place) -> bool {
        true
    }
}

/// Causes an event of a kind, and returns whether it was seen. An event that cannot be caused here counts
/// as seen.
///
/// # Errors
/// If no socket can be had.
pub fn cause(sampler: &mut Sampler<'_, '_>, site: &mut Site, event: Event) -> anyhow::Result<bool> {
    let mut is_seen = false;
    for _ in 0..TIMES {
        is_seen |= match event {
            Event::Packet => datagram::send(sampler, site, Family::Inet, State::Bound),
            Event::SockState => stream::listening(sampler, site),
            Event::Route4 | Event::Route6 => route::lookup(sampler, site, event, Cause::Datagram),
        }?;
    }
    Ok(is_seen)
}
