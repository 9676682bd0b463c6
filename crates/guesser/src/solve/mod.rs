//! The solver: drops every candidate that disagrees with a sample, goes on behind a pointer once
//! few candidates are left, and never picks one of several. Pure: no I/O, no kernel, no clock.
//!
//! [`Solver`] advances, [`track`] is one field's search, [`evidence`] weighs it, [`verdict`] says
//! what is proven.

pub mod addresses;
pub mod evidence;
pub mod sample;
pub mod track;
pub mod verdict;

#[cfg(test)]
mod tests;

use shared::offsets::Field;

use crate::fields::Kind;
use crate::fields::SPECS;
use crate::fields::Spec;
use crate::fields::Struct;
use crate::fields::spec;
use crate::way::Order;
use crate::way::Read;
use crate::way::Step;
use crate::way::Way;

use sample::Sample;
use track::Track;

/// A pointer with more candidates than this is not followed yet: more samples come first.
const MAX_BRANCHES: usize = 6;
/// Objects that a pointer must have told apart before it is followed.
const MIN_OBJECTS: usize = 2;

/// The searches for a set of fields.
#[derive(Debug, Clone)]
pub struct Solver {
    fields: Vec<Field>,
    tracks: Vec<Track>,
    samples: u32,
}

impl Solver {
    /// Searches that have not begun.
    #[must_use]
    pub fn new(fields: &[Field]) -> Self {
        let mut solver = Self {
            fields: fields.to_vec(),
            tracks: Vec::new(),
            samples: 0,
        };
        let roots = SPECS
            .iter()
            .filter(|spec| spec.inside.reached_by().is_none());
        for root in roots.map(|spec| spec.inside) {
            solver.enter(root, &Way::default());
        }
        solver
    }

    /// Drops what a sample contradicts. A struct that was not captured is not touched.
    pub fn observe(&mut self, sample: &Sample) {
        self.samples += 1;
        for track in &mut self.tracks {
            let view = sample.views.iter().find(|view| view.way == track.way);
            let expected = sample
                .expected
                .iter()
                .find(|(field, _)| *field == track.spec.field);
            if let (Some(view), Some((_, expected))) = (view, expected) {
                track.observe(self.samples, expected, &view.bytes);
            }
        }
    }

    /// Gives up pointers that lead to nothing, and goes on behind those that may lead somewhere.
    pub fn advance(&mut self) {
        for index in 0..self.tracks.len() {
            let track = &self.tracks[index];
            let (Kind::Pointer { to, .. }, Some(alive)) = (&track.spec.kind, track.alive()) else {
                continue;
            };
            let dead: Vec<u32> = alive
                .iter()
                .copied()
                .filter(|&offset| self.is_refuted(track, offset))
                .collect();
            let told_apart = track.evidence.distinct() >= MIN_OBJECTS;
            let follow = told_apart && alive.len() - dead.len() <= MAX_BRANCHES;
            let (to, way, pointer) = (*to, track.way.clone(), track.spec.field);
            self.tracks[index].refute(self.samples, |offset| dead.contains(&offset));
            for offset in alive.into_iter().filter(|offset| !dead.contains(offset)) {
                let behind = way.then(pointer, offset);
                if follow && !self.tracks.iter().any(|track| track.way == behind) {
                    self.enter(to, &behind);
                }
            }
        }
        self.leave_dead_ways();
    }

    /// What to capture next: the tracepoint's argument, which shows whose packet it is, and as many
    /// of the structs behind it as fit, those that were seen least first.
    #[must_use]
    pub fn order(&self) -> Order {
        let mut order = Order::default();
        for (way, end) in self.ways() {
            order.add(Read {
                way,
                offset: 0,
                bytes: end.window_bytes(),
            });
        }
        order
    }

    fn ways(&self) -> Vec<(Way, Struct)> {
        let mut ways: Vec<(usize, Way, Struct)> = Vec::new();
        for track in &self.tracks {
            let seen = track.evidence.distinct();
            match ways.iter_mut().find(|(_, way, _)| *way == track.way) {
                Some((known, _, _)) => *known = (*known).max(seen),
                None => ways.push((seen, track.way.clone(), track.spec.inside)),
            }
        }
        ways.sort_by_key(|(seen, way, _)| (!way.0.is_empty(), *seen));
        ways.into_iter().map(|(_, way, end)| (way, end)).collect()
    }

    /// Whether each field is proven or cannot be found any more: further samples are useless.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.fields
            .iter()
            .all(|field| self.proven(*field).is_some() || self.is_hopeless(spec(*field)))
    }

    fn is_hopeless(&self, spec: &Spec) -> bool {
        match (self.track(spec), spec.inside.reached_by()) {
            (Some(track), _) => {
                let sibling_was_seen = || {
                    let mut siblings = self.tracks.iter().filter(|other| other.way == track.way);
                    siblings.any(|other| other.alive().is_some())
                };
                track.is_empty() || track.alive().is_none() && sibling_was_seen()
            }
            (None, pointer) => pointer.is_some_and(|pointer| self.is_hopeless(pointer)),
        }
    }

    /// All searches, also those along ways that may turn out wrong.
    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Begins the searches in a struct. All its fields are searched, requested or not, since a
    /// pointer is proven by what lies behind it.
    fn enter(&mut self, inside: Struct, way: &Way) {
        let specs = SPECS.iter().filter(|spec| spec.inside == inside);
        self.tracks
            .extend(specs.map(|spec: &'static Spec| Track::new(spec, way.clone())));
    }

    /// Whether something that must lie behind a candidate of a pointer was searched in vain.
    fn is_refuted(&self, pointer: &Track, offset: u32) -> bool {
        let Kind::Pointer { proof, .. } = pointer.spec.kind else {
            return false;
        };
        let behind = pointer.way.then(pointer.spec.field, offset);
        self.tracks.iter().any(|track| {
            track.way == behind && proof.contains(&track.spec.field) && track.is_empty()
        })
    }

    /// Ends the searches along ways one of whose pointers has been given up.
    fn leave_dead_ways(&mut self) {
        let is_alive = |way: &Way, step: &Step| {
            self.tracks.iter().any(|track| {
                track.way == *way
                    && track.spec.field == step.pointer
                    && track
                        .alive()
                        .is_some_and(|alive| alive.contains(&step.offset))
            })
        };
        let open: Vec<bool> = self
            .tracks
            .iter()
            .map(|track| {
                let steps = &track.way.0;
                (0..steps.len()).all(|depth| is_alive(&Way(steps[..depth].to_vec()), &steps[depth]))
            })
            .collect();
        let mut open = open.into_iter();
        self.tracks.retain(|_| open.next().unwrap_or(false));
    }
}
