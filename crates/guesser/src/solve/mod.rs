//! The solver: drops every candidate that disagrees with a sample, goes on behind a pointer once
//! few candidates are left, and never picks one of several. Pure: no I/O, no kernel, no clock.
//!
//! [`Solver`] advances, [`track`] is one place's search, [`evidence`] weighs it, [`verdict`] says
//! what is proven.

pub mod addresses;
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
use track::Sight;
use track::Track;

/// So many candidates of a pointer are followed at a time; with more, samples that drop some come
/// first.
const MAX_BRANCHES: usize = 12;
/// Values that a pointer must have shown before it is followed, and before more samples of it are no
/// longer waited for.
const MIN_VALUES: usize = 2;
const ENOUGH_VALUES: usize = 24;

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
        for track in &mut self.tracks {
            let expected = sample
                .expected
                .iter()
                .find(|(place, _)| *place == track.spec.place);
            if let (Some((_, expected)), Some(sight)) = (expected, sight(track, sample)) {
                track.observe(self.samples, expected, sight);
            }
        }
    }

    /// Gives up pointers that lead to nothing, and goes on behind those that may lead somewhere.
    pub fn advance(&mut self) {
        for index in 0..self.tracks.len() {
            let track = &self.tracks[index];
            let (Some(to), Some(alive)) = (track.spec.leads_to(), track.alive()) else {
                continue;
            };
            let dead: Vec<u32> = alive
                .iter()
                .copied()
                .filter(|&offset| self.is_refuted(track, offset))
                .collect();
            let values = track.evidence.distinct();
            let few = alive.len() - dead.len() <= MAX_BRANCHES;
            let follow = values >= MIN_VALUES && few || values >= ENOUGH_VALUES;
            let (way, pointer) = (track.way.clone(), track.spec.place);
            self.tracks[index].refute(self.samples, |offset| dead.contains(&offset));
            let left = alive.into_iter().filter(|offset| !dead.contains(offset));
            for offset in left.take(MAX_BRANCHES) {
                let behind = way.then(pointer, offset);
                if follow && !self.tracks.iter().any(|track| track.way == behind) {
                    self.enter(to, &behind);
                }
            }
        }
        self.leave_dead_ways();
    }

    /// What to capture next at such an event: what the hook shows, which tells whose event it is,
    /// and as many of the structs behind it as fit, those that were seen least first. None if
    /// nothing is searched there.
    #[must_use]
    pub fn order(&self, event: Event) -> Option<Order> {
        let ways = self.ways(event);
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

    /// What is shown first, then what is undecided, each time what was seen least first.
    fn ways(&self, event: Event) -> Vec<(Way, Struct)> {
        let mut ways: Vec<(bool, usize, Way, Struct)> = Vec::new();
        for track in self.tracks.iter().filter(|track| track.way.event == event) {
            let (decided, seen) = (track.is_decided(), track.evidence.distinct());
            match ways.iter_mut().find(|(_, _, way, _)| *way == track.way) {
                Some((all_decided, most, _, _)) => {
                    *all_decided &= decided;
                    *most = (*most).max(seen);
                }
                None => ways.push((decided, seen, track.way.clone(), track.spec.searched_at())),
            }
        }
        ways.sort_by_key(|(decided, seen, way, _)| (!way.steps.is_empty(), *decided, *seen));
        ways.into_iter()
            .map(|(_, _, way, end)| (way, end))
            .collect()
    }

    /// Whether each field is proven or cannot be found any more: further samples are useless.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.unsettled().next().is_none()
    }

    /// The fields of which further samples could tell more.
    pub fn unsettled(&self) -> impl Iterator<Item = Field> {
        let open = |field: &Field| {
            let place = Place::Field(*field);
            !self.given_up.contains(field)
                && self.proven(place).is_none()
                && !self.is_hopeless(place)
        };
        self.fields.iter().copied().filter(open)
    }

    /// Whether samples of a place are still useful: for itself, or for a pointer that it proves.
    #[must_use]
    pub fn is_open(&self, place: Place) -> bool {
        let given_up = matches!(place, Place::Field(field) if self.given_up.contains(&field));
        self.needed.contains(&place)
            && !given_up
            && self.proven(place).is_none()
            && !self.is_hopeless(place)
    }

    fn is_hopeless(&self, place: Place) -> bool {
        let spec = place.spec();
        let ways = self.proven_ways(spec.searched_at());
        let tracks: Vec<&Track> = self.tracks_along(spec, &ways);
        if !tracks.is_empty() {
            return tracks.iter().any(|track| track.is_empty());
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

    /// Whether something that must lie behind a candidate of a pointer was searched in vain.
    fn is_refuted(&self, pointer: &Track, offset: u32) -> bool {
        let behind = pointer.way.then(pointer.spec.place, offset);
        let proof = pointer.spec.proof();
        self.tracks.iter().any(|track| {
            track.way == behind && proof.contains(&track.spec.place) && track.is_empty()
        })
    }

    /// Ends the searches along ways one of whose pointers has been given up.
    fn leave_dead_ways(&mut self) {
        let is_alive = |way: &Way, step: &Step| {
            self.tracks.iter().any(|track| {
                let here = match track.spec.kind {
                    Kind::Index { .. } => return false,
                    _ => &track.way,
                };
                here == way
                    && track.spec.place == step.pointer
                    && track
                        .alive()
                        .is_some_and(|alive| alive.contains(&step.offset))
            })
        };
        let open: Vec<bool> = self
            .tracks
            .iter()
            .map(|track| {
                let mut way = track.way.clone();
                while let (Some(parent), Some(step)) = (way.parent(), way.steps.last()) {
                    if !is_alive(&parent, step) {
                        return false;
                    }
                    way = parent;
                }
                true
            })
            .collect();
        let mut open = open.into_iter();
        self.tracks.retain(|_| open.next().unwrap_or(false));
    }
}

/// What a sample shows to a search; none if its struct was not captured.
fn sight<'a>(track: &Track, sample: &'a Sample) -> Option<Sight<'a>> {
    let own = sample
        .view(&track.way)
        .filter(|_| sample.leads_along(&track.way))?;
    let parent = track.way.parent().and_then(|way| sample.view(&way));
    let counts = matches!(track.spec.kind, Kind::Index { .. });
    Some(Sight {
        bytes: if counts { &parent?.bytes } else { &own.bytes },
        address: own.address,
        parent_address: own.parent_address,
        buffer: if counts { &own.bytes } else { &[] },
    })
}
