//! The proof on held-out data: fresh connections and sockets, of which nothing but the found offsets
//! is read, as a consumer would read them. Everything must be there; in a packet that is not tracked
//! there must be no connection. It is the solver's own [`Search`], in windows that are as wide as one
//! field; `consequences` says what follows from a contradiction.

mod consequences;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::rc::Rc;

use anyhow::bail;

use crate::fields::Content;
use crate::fields::Event;
use crate::fields::Place;
use crate::path::AccessPath;
use crate::path::Read;
use crate::path::ReadPlan;
use crate::path::Reading;
use crate::proven::Proven;
use crate::sample::mark::Marks;
use crate::sample::mark::ours;
use crate::sample::sampler::Observation;
use crate::sample::sampler::Observer;
use crate::solve::sample::Expectations;
use crate::solve::sample::Expected;
use crate::solve::sample::leads_along;
use crate::solve::search::Search;
use crate::solve::search::Window;

pub use consequences::consequences;

/// A place must have held its expected value this often, and other than zero.
pub const CONFIRMATIONS: u32 = 2;

/// A place along one path, and which of an event's readings belong to it.
#[derive(Debug)]
struct Point {
    place: Place,
    path: AccessPath,
    offset: u32,
    /// Index of the reading with its own bytes.
    read: usize,
    /// Of a header's index: the reading of the buffer that it counts in.
    buffer: Option<usize>,
    /// How often it held its expected value, and that was not zero.
    confirmed: u32,
}

/// Checks proven offsets on every observation.
#[derive(Debug)]
pub struct Verification {
    plans: Vec<(Rc<ReadPlan>, Vec<Point>)>,
    /// One search per place, along whichever path: what one path shows binds the others.
    searches: BTreeMap<Place, Search>,
    observed: u32,
}

impl Verification {
    /// A check of these offsets that has seen nothing.
    ///
    /// # Errors
    /// If they do not fit into one request.
    pub fn new(proven: &Proven, marks: &Marks) -> anyhow::Result<Self> {
        let mut plans = Vec::new();
        for (event, mark_at) in marks {
            let mut plan = ReadPlan::new(*event);
            // Only the mark tells our event from those of others.
            plan.add(Read {
                path: AccessPath::to_shown(*event),
                offset: 4 * *mark_at as u32,
                bytes: 4,
            });
            let mut points = Vec::new();
            for (place, offset) in proven.iter() {
                add(&mut plan, &mut points, proven, (place, offset))?;
            }
            if !points.is_empty() {
                plans.push((Rc::new(plan), points));
            }
        }
        // Which event a window comes from makes no difference to its search.
        let anywhere = AccessPath::to_shown(Event::Packet);
        let search = |place: Place| Search::new(place.spec(), anywhere.clone());
        let places = proven.iter().map(|(place, _)| (place, search(place)));
        Ok(Self {
            plans,
            searches: places.collect(),
            observed: 0,
        })
    }

    /// The places that held something else than they must.
    #[must_use]
    pub fn contradicted(&self) -> BTreeSet<Place> {
        let searches = self.searches.iter();
        let failed = searches.filter(|(_, search)| search.candidates.is_empty());
        failed.map(|(place, _)| *place).collect()
    }

    /// How often a place was confirmed: 0 if it was contradicted, or if one of the paths along which
    /// packets and lookups show it never confirmed it.
    #[must_use]
    pub fn confirmations(&self, place: Place) -> u32 {
        let mut searches = self.searches.get(&place).into_iter();
        if searches.all(|search| search.candidates.is_empty()) {
            return 0;
        }
        let all = self.plans.iter().flat_map(|(_, points)| points);
        // A listener has no peer, and nothing that moves.
        let shown = all.filter(|point| point.path.event != Event::SockState);
        let along = shown.filter(|point| point.place == place);
        let times: Vec<u32> = along.map(|point| point.confirmed).collect();
        if times.contains(&0) {
            return 0;
        }
        times.iter().sum()
    }
}

/// Reads a place along every proven path to it that begins with the plan's event.
fn add(
    plan: &mut ReadPlan,
    points: &mut Vec<Point>,
    proven: &Proven,
    (place, offset): (Place, u32),
) -> anyhow::Result<()> {
    let event = plan.event();
    let mut read = |path: AccessPath, offset, bytes| {
        let index = plan.reads().len();
        let wanted = Read {
            path,
            offset,
            bytes,
        };
        if let Some(known) = plan.reads().position(|read| *read == wanted) {
            return Ok(known);
        }
        if plan.add(wanted) {
            return Ok(index);
        }
        bail!("{place} does not fit into one request");
    };
    let spec = place.spec();
    let paths = proven.paths(spec.searched_at());
    for path in paths.into_iter().filter(|path| path.event == event) {
        let mut holder = path.clone();
        let mut buffer = None;
        // A header is where its index says, in the packet's bytes.
        if let (Content::Index { .. }, Some(parent)) = (&spec.content, path.parent()) {
            buffer = Some(read(path.clone(), 0, spec.searched_at().window_bytes())?);
            holder = parent;
        }
        points.push(Point {
            place,
            path,
            offset,
            read: read(holder, offset, place.size_bytes())?,
            buffer,
            confirmed: 0,
        });
    }
    Ok(())
}

impl Point {
    /// Looks whether the place holds what is expected.
    fn check(
        &mut self,
        search: &mut Search,
        number: u32,
        expected: &Expectations,
        readings: &[Reading],
    ) {
        let mut all = expected.iter();
        let Some((_, value)) = all.find(|(place, _)| *place == self.place) else {
            return;
        };
        if !leads_along(expected, &self.path) {
            return;
        }
        let own = &readings[self.read];
        let buffer = self.buffer.map(|index| &readings[index].bytes[..]);
        let window = Window {
            bytes: &own.bytes,
            address: own.address.wrapping_add(self.offset.into()),
            parent_address: own.parent_address,
            buffer: buffer.unwrap_or_default(),
        };
        search.observe(number, value, window);
        self.confirmed += u32::from(!is_zero(value));
    }
}

/// Whether a place must hold nothing but zeros, which are everywhere.
fn is_zero(expected: &Expected) -> bool {
    match expected {
        Expected::Bytes { bytes, .. } => bytes.iter().all(|byte| *byte == 0),
        Expected::Shifted { value, .. } => *value == 0,
        _ => false,
    }
}

impl Observer for Verification {
    fn plan(&self, event: Event, _unknown: &[Place]) -> Option<Rc<ReadPlan>> {
        let mut plans = self.plans.iter();
        let (plan, _) = plans.find(|(plan, _)| plan.event() == event)?;
        Some(Rc::clone(plan))
    }

    fn observe(&mut self, observation: Observation) -> bool {
        let event = observation.plan.event();
        let mut plans = self.plans.iter_mut();
        let Some((_, points)) = plans.find(|(plan, _)| plan.event() == event) else {
            return false;
        };
        let mark = observation.mark.to_ne_bytes();
        let is_ours =
            |readings: &[Reading]| readings.first().is_some_and(|word| word.bytes == mark);
        let Some(readings) = ours(event, observation.events, is_ours) else {
            return false;
        };
        self.observed += 1;
        for point in points {
            if let Some(search) = self.searches.get_mut(&point.place) {
                point.check(search, self.observed, &observation.expected, &readings);
            }
        }
        true
    }

    fn is_open(&self, place: Place) -> bool {
        self.searches.contains_key(&place)
    }
}
