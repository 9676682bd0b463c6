//! The check on held-out data: fresh connections and sockets, at which only the found offsets are read, as
//! a consumer would read them. Each must hold its expected value, and an untracked packet must have no
//! connection. The check is the solver's own [`Search`] in a window as wide as one field; `consequences`
//! says what follows from a contradiction.

mod consequences;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::rc::Rc;

use anyhow::ensure;

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

/// A place must have held its expected value this often, zeros not counted.
pub const CONFIRMATIONS: u32 = 2;

/// A place along one path, and which readings of an event belong to it.
#[derive(Debug)]
struct Point {
    place: Place,
    path: AccessPath,
    offset: u32,
    /// The index of the reading with its bytes.
    read: usize,
    /// For the index of a header, the reading of the buffer.
    buffer: Option<usize>,
    /// How often it held its expected value, zeros not counted.
    confirmed: u32,
}

/// Checks proven offsets on every observation.
#[derive(Debug)]
pub struct Verification {
    plans: BTreeMap<Event, (Rc<ReadPlan>, Vec<Point>)>,
    /// One search per place for all paths, which must agree.
    searches: BTreeMap<Place, Search>,
    observed: u32,
}

impl Verification {
    /// A check of these offsets that has seen nothing yet.
    ///
    /// # Errors
    /// If they do not fit into one request.
    pub fn new(proven: &Proven, marks: &Marks) -> anyhow::Result<Self> {
        let mut plans = BTreeMap::new();
        for (event, mark_at) in marks {
            let mut plan = ReadPlan::new(*event);
            // Only the mark distinguishes our event from those of others.
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
                plans.insert(*event, (Rc::new(plan), points));
            }
        }
        // A search does not depend on the event from which its windows come.
        let anywhere = AccessPath::to_shown(Event::Packet);
        let search = |place: Place| Search::new(place.spec(), anywhere.clone());
        let places = proven.iter().map(|(place, _)| (place, search(place)));
        Ok(Self {
            plans,
            searches: places.collect(),
            observed: 0,
        })
    }

    /// The places that held another value than expected.
    pub fn contradicted(&self) -> BTreeSet<Place> {
        let searches = self.searches.iter();
        let failed = searches.filter(|(_, search)| search.candidates.is_empty());
        failed.map(|(place, _)| *place).collect()
    }

    /// How often a place was confirmed: 0 if it was contradicted, or if one of the paths from packets and
    /// lookups never confirmed it.
    pub fn confirmations(&self, place: Place) -> u32 {
        let mut searches = self.searches.get(&place).into_iter();
        if searches.all(|search| search.candidates.is_empty()) {
            return 0;
        }
        let all = self.plans.values().flat_map(|(_, points)| points);
        // A listener has no peer and no round-trip times.
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
        let wanted = Read {
            path,
            offset,
            bytes,
        };
        if let Some(known) = plan.reads().position(|read| *read == wanted) {
            return Ok(known);
        }
        ensure!(plan.add(wanted), "{place} does not fit into one request");
        Ok(plan.reads().len() - 1)
    };
    let spec = place.spec();
    let paths = proven.paths(spec.searched_at());
    for path in paths.into_iter().filter(|path| path.event == event) {
        let mut holder = path.clone();
        let mut buffer = None;
        // A header is at its index in the buffer.
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
    /// Checks whether the place holds what is expected.
    fn check(
        &mut self,
        search: &mut Search,
        number: u32,
        expected: &Expectations,
        readings: &[Reading],
    ) {
        let mut all = expected.iter();
        let value = all.find(|(place, _)| *place == self.place);
        let Some((_, value)) = value.filter(|_| leads_along(expected, &self.path)) else {
            return;
        };
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

/// Whether a place must hold only zeros, which are everywhere.
fn is_zero(expected: &Expected) -> bool {
    match expected {
        Expected::Bytes { bytes, .. } => bytes.iter().all(|byte| *byte == 0),
        Expected::Shifted { value, .. } => *value == 0,
        _ => false,
    }
}

impl Observer for Verification {
    fn plan(&self, event: Event, _unknown: &[Place]) -> Option<Rc<ReadPlan>> {
        self.plans.get(&event).map(|(plan, _)| Rc::clone(plan))
    }

    fn observe(&mut self, observation: Observation) -> bool {
        let event = observation.plan.event();
        let Some((_, points)) = self.plans.get_mut(&event) else {
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
