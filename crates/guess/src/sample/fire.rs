//! The fire test of a hook: causes one event of a kind and looks whether it was shown at all.

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
use super::sites::Sites;
use super::stream;
use crate::expected::socket::Family;
use crate::fields::Event;
use crate::fields::Place;
use crate::path::AccessPath;
use crate::path::Read;
use crate::path::ReadPlan;

/// So often an event is caused, so that one of others is not taken for all of ours.
const TIMES: usize = 3;

/// Content with any event of ours.
#[derive(Debug)]
pub struct Anything {
    event: Event,
    mark_at: Option<usize>,
}

impl Anything {
    /// Of this kind.
    #[must_use]
    pub const fn of(event: Event) -> Self {
        Self {
            event,
            mark_at: None,
        }
    }

    /// Where the marks were. What the hook shows may be followed in memory by something else of
    /// ours, seen at events of others: so the first place is the right one.
    #[must_use]
    pub const fn mark_at(&self) -> Option<usize> {
        self.mark_at
    }
}

impl Observer for Anything {
    fn plan(&self, event: Event, _unknown: &[Place]) -> Option<Rc<ReadPlan>> {
        let mut plan = ReadPlan::new(event);
        let all = Read {
            path: AccessPath::to_shown(event),
            offset: 0,
            bytes: event.shows().window_bytes(),
        };
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

/// Causes an event; says whether it was seen. An event that cannot be caused here is not missed.
///
/// # Errors
/// If no socket can be had.
pub fn cause(
    sampler: &mut Sampler<'_, '_>,
    sites: &mut Sites,
    event: Event,
) -> anyhow::Result<bool> {
    let mut seen = false;
    for _ in 0..TIMES {
        seen |= cause_once(sampler, &mut sites.plain[0], event)?;
    }
    Ok(seen)
}

fn cause_once(
    sampler: &mut Sampler<'_, '_>,
    site: &mut Site,
    event: Event,
) -> anyhow::Result<bool> {
    match event {
        Event::Packet => datagram::send(sampler, site, Family::Inet, State::Bound),
        Event::SockState => stream::listening(sampler, site),
        Event::Route4 => route::lookup4(sampler, site, Cause::Datagram),
        Event::Route6 if !site.has_inet6() => Ok(true),
        Event::Route6 => route::lookup6(sampler, site, Cause::Datagram),
    }
}
