//! The solver: drops every candidate that disagrees with a sample, goes on behind a pointer once
//! few candidates are left, and never picks one of several. Pure: no I/O, no kernel, no clock.
//!
//! [`Solver`] advances, [`track`] is one place's search, [`evidence`] weighs it, [`verdict`] says
//! what is proven.

pub mod addresses;
pub mod bytes;
pub mod candidates;
pub mod clock;
pub mod evidence;
pub mod sample;
pub mod track;
pub mod verdict;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use shared::offsets::Field;

use crate::fields::Event;
use crate::fields::Kind;
use crate::fields::Place;
use crate::fields::SPECS;
use crate::fields::Spec;
use crate::fields::Struct;
use crate::fields::needed;
use crate::way::Order;
use crate::way::Read;
use crate::way::Step;
use crate::way::Way;

use sample::Sample;
use sample::View;
use track::MIN_VALUES;
use track::Sight;
use track::Track;

/// So many candidates of a pointer are followed at a time; with more, samples that drop some come
/// first.
const MAX_BRANCHES: usize = 12;
/// Values of a pointer after which more samples that drop candidates are no longer waited for.
const ENOUGH_VALUES: usize = 12;

/// The searches for a set of fields.
#[derive(Debug, Clone)]
pub struct Solver {
    fields: Vec<Field>,
    needed: BTreeSet<Place>,
    tracks: Vec<Track>,
    samples: u32,
    /// Fields that no sample will ever determine here.
    given_up: BTreeSet<Field>,
}

impl Solver {
    /// Searches that have not begun.
    #[must_use]
    pub fn new(fields: &[Field]) -> Self {
        let mut solver = Self {
            fields: fields.to_vec(),
            needed: needed(fields),
            tracks: Vec::new(),
            samples: 0,
            given_up: BTreeSet::new(),
        };
        for event in Event::ALL {
            solver.enter(event.shows(), &Way::to_shown(event));
        }
        solver
    }

    /// What is asked for.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Waits no longer for fields that no experiment here can determine.
    pub fn give_up(&mut self, fields: &[Field]) {
        self.given_up.extend(fields);
    }

    /// Whether anything is searched in such a struct at all.
    #[must_use]
    pub fn needs(&self, inside: Struct) -> bool {
        self.needed
            .iter()
            .any(|place| place.spec().inside == inside)
    }

    /// Drops what a sample contradicts. A struct that was not captured is not touched.
    pub fn observe(&mut self, sample: &Sample) {
        self.samples += 1;
        // Searches along one way stand side by side.
        let mut last: Option<&View> = None;
        for track in &mut self.tracks {
            let mut expected = sample.expected.iter();
            let Some((_, expected)) = expected.find(|(place, _)| *place == track.spec.place) else {
                continue;
            };
            if last.is_none_or(|view| view.way != track.way) {
                let own = sample.view(&track.way);
                last = own.filter(|_| sample.leads_along(&track.way));
            }
            if let Some(sight) = last.and_then(|own| sight(track, sample, own)) {
                track.observe(self.samples, expected, sight);
            }
        }
    }

    /// Gives up pointers that lead to nothing, and goes on behind those that may lead somewhere.
    pub fn advance(&mut self) {
        let any_news = |any: bool, track: &mut Track| track.take_news() | any;
        if self.tracks.iter_mut().fold(false, any_news) {
            self.refute_pointers();
            self.leave_dead_ways();
        }
        let mut ahead = Vec::new();
        for track in &mut self.tracks {
            let (Some(to), Some(left)) = (track.spec.leads_to(), track.candidates.left()) else {
                continue;
            };
            let values = track.evidence.distinct();
            if values >= MIN_VALUES && left <= MAX_BRANCHES || values >= ENOUGH_VALUES {
                let ways = track.follow(MAX_BRANCHES);
                ahead.extend(ways.map(|way| (to, way)));
            }
        }
        for (to, way) in ahead {
            self.enter(to, &way);
        }
    }

    /// What to capture next at such an event, in which nothing is known behind some pointers: what the
    /// hook shows, which tells whose event it is, and as many of the undecided structs behind it as
    /// fit, those that were seen least first. None if nothing is searched there.
    #[must_use]
    pub fn order(&self, event: Event, unknown: &[Place]) -> Option<Order> {
        let mut ways = self.ways(event);
        ways.retain(|(way, _)| !way.steps.iter().any(|step| unknown.contains(&step.pointer)));
        if ways.is_empty() {
            return None;
        }
        let mut order = Order::new(event);
        for (way, end) in ways {
            order.add(Read {
                way,
                offset: 0,
                bytes: end.window_bytes(),
            });
        }
        Some(order)
    }

    /// What is shown first, then what is undecided, that was seen least first.
    fn ways(&self, event: Event) -> Vec<(Way, Struct)> {
        let mut ways: Vec<(bool, u32, Way, Struct)> = Vec::new();
        for track in self.tracks.iter().filter(|track| track.way.event == event) {
            let decided = track.is_decided() || self.is_given_up(track.spec.place);
            let seen = track.samples;
            match ways.iter_mut().find(|(_, _, way, _)| *way == track.way) {
                Some((all_decided, most, _, _)) => {
                    *all_decided &= decided;
                    *most = (*most).max(seen);
                }
                None => ways.push((decided, seen, track.way.clone(), track.spec.searched_at())),
            }
        }
        ways.retain(|(decided, _, way, _)| way.steps.is_empty() || !decided);
        ways.sort_by_key(|(_, seen, way, _)| (!way.steps.is_empty(), *seen));
        ways.into_iter()
            .map(|(_, _, way, end)| (way, end))
            .collect()
    }

    /// Whether each field is proven or cannot be found any more: further samples are useless.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let mut fields = self.fields.iter();
        !fields.any(|field| self.is_open(Place::Field(*field)))
    }

    /// Whether samples of a place are still useful: for itself, or for a pointer that it proves.
    #[must_use]
    pub fn is_open(&self, place: Place) -> bool {
        self.needed.contains(&place) && self.proven(place).is_none() && !self.is_hopeless(place)
    }

    fn is_given_up(&self, place: Place) -> bool {
        matches!(place, Place::Field(field) if self.given_up.contains(&field))
    }

    fn is_hopeless(&self, place: Place) -> bool {
        if self.is_given_up(place) {
            return true;
        }
        let spec = place.spec();
        let ways = self.proven_ways(spec.searched_at());
        let tracks: Vec<&Track> = self.tracks_along(spec, &ways);
        if !tracks.is_empty() {
            return tracks.iter().any(|track| track.candidates.is_empty());
        }
        let mut pointers = spec.searched_at().reached_by();
        let wanted = |pointer: &&Spec| self.needed.contains(&pointer.place);
        !spec.searched_at().is_shown()
            && pointers.all(|pointer| !wanted(&pointer) || self.is_hopeless(pointer.place))
    }

    /// All searches, also those along ways that may turn out wrong.
    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Begins the searches in a struct that are needed.
    fn enter(&mut self, inside: Struct, way: &Way) {
        let specs = SPECS
            .iter()
            .filter(|spec| spec.searched_at() == inside && self.needed.contains(&spec.place));
        self.tracks
            .extend(specs.map(|spec: &'static Spec| Track::new(spec, way.clone())));
    }

    /// Drops the candidates of pointers behind which something that must lie there was searched in vain.
    fn refute_pointers(&mut self) {
        for index in 0..self.tracks.len() {
            let dead = self.refuted(&self.tracks[index]);
            self.tracks[index].candidates.refute(self.samples, &dead);
        }
    }

    fn refuted(&self, pointer: &Track) -> Vec<u32> {
        let in_vain = |track: &&Track| {
            pointer.spec.proof().contains(&track.spec.place) && track.candidates.is_empty()
        };
        let behind = |track: &Track| {
            let (step, before) = track.way.steps.split_last()?;
            let here = track.way.event == pointer.way.event && before == pointer.way.steps;
            (here && step.pointer == pointer.spec.place).then_some(step.offset)
        };
        let tracks = self.tracks.iter();
        tracks.filter(in_vain).filter_map(behind).collect()
    }

    /// Ends the searches along ways one of whose pointers has been given up.
    fn leave_dead_ways(&mut self) {
        let pointers = self
            .tracks
            .iter()
            .filter(|track| track.spec.leads_to().is_some());
        let pointers: Vec<&Track> = pointers.collect();
        let is_alive = |event: Event, before: &[Step], step: &Step| {
            pointers.iter().any(|track| {
                track.spec.place == step.pointer
                    && track.way.event == event
                    && track.way.steps == before
                    && track.candidates.is_alive(step.offset)
            })
        };
        let is_open = |track: &Track| {
            let steps = &track.way.steps;
            let mut all = steps.iter().enumerate();
            all.all(|(index, step)| is_alive(track.way.event, &steps[..index], step))
        };
        let open: Vec<bool> = self.tracks.iter().map(is_open).collect();
        let mut open = open.into_iter();
        self.tracks.retain(|_| open.next().unwrap_or(false));
    }
}

/// What a sample shows to a search, of which its own view is given; none if too little was captured.
fn sight<'a>(track: &Track, sample: &'a Sample, own: &'a View) -> Option<Sight<'a>> {
    let (bytes, buffer) = match track.spec.kind {
        Kind::Index { .. } => {
            let parent = sample.view(&track.way.parent()?)?;
            (&parent.bytes[..], &own.bytes[..])
        }
        _ => (&own.bytes[..], &[][..]),
    };
    Some(Sight {
        bytes,
        address: own.address,
        parent_address: own.parent_address,
        buffer,
    })
}
