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
pub mod search;
pub mod verdict;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use shared::offsets::Field;

use crate::fields::Content;
use crate::fields::Event;
use crate::fields::Place;
use crate::fields::SPECS;
use crate::fields::Spec;
use crate::fields::Struct;
use crate::fields::needed;
use crate::path::AccessPath;
use crate::path::Read;
use crate::path::ReadPlan;
use crate::path::Step;

use sample::Sample;
use sample::View;
use search::MIN_VALUES;
use search::Search;
use search::Window;

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
    searches: Vec<Search>,
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
            searches: Vec::new(),
            samples: 0,
            given_up: BTreeSet::new(),
        };
        for event in Event::ALL {
            solver.enter(event.shows(), &AccessPath::to_shown(event));
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
        for search in &mut self.searches {
            let mut expected = sample.expected.iter();
            let Some((_, expected)) = expected.find(|(place, _)| *place == search.spec.place)
            else {
                continue;
            };
            if last.is_none_or(|view| view.path != search.path) {
                let own = sample.view(&search.path);
                last = own.filter(|_| sample.leads_along(&search.path));
            }
            if let Some(window) = last.and_then(|own| window(search, sample, own)) {
                search.observe(self.samples, expected, window);
            }
        }
    }

    /// Gives up pointers that lead to nothing, and goes on behind those that may lead somewhere.
    pub fn advance(&mut self) {
        let any_news = |any: bool, search: &mut Search| search.take_news() | any;
        if self.searches.iter_mut().fold(false, any_news) {
            self.refute_pointers();
            self.leave_dead_paths();
        }
        let mut ahead = Vec::new();
        for search in &mut self.searches {
            let (Some(to), Some(left)) = (search.spec.leads_to(), search.candidates.left()) else {
                continue;
            };
            let values = search.evidence.distinct();
            if values >= MIN_VALUES && left <= MAX_BRANCHES || values >= ENOUGH_VALUES {
                let paths = search.follow(MAX_BRANCHES);
                ahead.extend(paths.map(|path| (to, path)));
            }
        }
        for (to, path) in ahead {
            self.enter(to, &path);
        }
    }

    /// What to capture next at such an event, in which nothing is known behind some pointers: what the
    /// hook shows, which tells whose event it is, and as many of the undecided structs behind it as
    /// fit, those that were seen least first. None if nothing is searched there.
    #[must_use]
    pub fn plan(&self, event: Event, unknown: &[Place]) -> Option<ReadPlan> {
        let mut paths = self.paths(event);
        paths.retain(|(path, _)| {
            !path
                .steps
                .iter()
                .any(|step| unknown.contains(&step.pointer))
        });
        if paths.is_empty() {
            return None;
        }
        let mut plan = ReadPlan::new(event);
        for (path, end) in paths {
            plan.add(Read {
                path,
                offset: 0,
                bytes: end.window_bytes(),
            });
        }
        Some(plan)
    }

    /// What is shown first, then what is undecided, that was seen least first.
    fn paths(&self, event: Event) -> Vec<(AccessPath, Struct)> {
        let mut paths: Vec<(bool, u32, AccessPath, Struct)> = Vec::new();
        for search in self
            .searches
            .iter()
            .filter(|search| search.path.event == event)
        {
            let decided = search.is_decided() || self.is_given_up(search.spec.place);
            let seen = search.samples;
            match paths
                .iter_mut()
                .find(|(_, _, path, _)| *path == search.path)
            {
                Some((all_decided, most, _, _)) => {
                    *all_decided &= decided;
                    *most = (*most).max(seen);
                }
                None => paths.push((
                    decided,
                    seen,
                    search.path.clone(),
                    search.spec.searched_at(),
                )),
            }
        }
        paths.retain(|(decided, _, path, _)| path.steps.is_empty() || !decided);
        paths.sort_by_key(|(_, seen, path, _)| (!path.steps.is_empty(), *seen));
        paths
            .into_iter()
            .map(|(_, _, path, end)| (path, end))
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
        let paths = self.proven_paths(spec.searched_at());
        let searches: Vec<&Search> = self.searches_along(spec, &paths);
        if !searches.is_empty() {
            return searches.iter().any(|search| search.candidates.is_empty());
        }
        let mut pointers = spec.searched_at().reached_by();
        let wanted = |pointer: &&Spec| self.needed.contains(&pointer.place);
        !spec.searched_at().is_shown()
            && pointers.all(|pointer| !wanted(&pointer) || self.is_hopeless(pointer.place))
    }

    /// All searches, also those along ways that may turn out wrong.
    #[must_use]
    pub fn searches(&self) -> &[Search] {
        &self.searches
    }

    /// Begins the searches in a struct that are needed.
    fn enter(&mut self, inside: Struct, path: &AccessPath) {
        let specs = SPECS
            .iter()
            .filter(|spec| spec.searched_at() == inside && self.needed.contains(&spec.place));
        self.searches
            .extend(specs.map(|spec: &'static Spec| Search::new(spec, path.clone())));
    }

    /// Drops the candidates of pointers behind which something that must lie there was searched in vain.
    fn refute_pointers(&mut self) {
        for index in 0..self.searches.len() {
            let dead = self.refuted(&self.searches[index]);
            self.searches[index].candidates.refute(self.samples, &dead);
        }
    }

    fn refuted(&self, pointer: &Search) -> Vec<u32> {
        let in_vain = |search: &&Search| {
            pointer.spec.proof().contains(&search.spec.place) && search.candidates.is_empty()
        };
        let behind = |search: &Search| {
            let (step, before) = search.path.steps.split_last()?;
            let here = search.path.event == pointer.path.event && before == pointer.path.steps;
            (here && step.pointer == pointer.spec.place).then_some(step.offset)
        };
        let searches = self.searches.iter();
        searches.filter(in_vain).filter_map(behind).collect()
    }

    /// Ends the searches along ways one of whose pointers has been given up.
    fn leave_dead_paths(&mut self) {
        let pointers = self
            .searches
            .iter()
            .filter(|search| search.spec.leads_to().is_some());
        let pointers: Vec<&Search> = pointers.collect();
        let is_alive = |event: Event, before: &[Step], step: &Step| {
            pointers.iter().any(|search| {
                search.spec.place == step.pointer
                    && search.path.event == event
                    && search.path.steps == before
                    && search.candidates.is_alive(step.offset)
            })
        };
        let is_open = |search: &Search| {
            let steps = &search.path.steps;
            let mut all = steps.iter().enumerate();
            all.all(|(index, step)| is_alive(search.path.event, &steps[..index], step))
        };
        let open: Vec<bool> = self.searches.iter().map(is_open).collect();
        let mut open = open.into_iter();
        self.searches.retain(|_| open.next().unwrap_or(false));
    }
}

/// What a sample shows to a search, of which its own view is given; none if too little was captured.
fn window<'a>(search: &Search, sample: &'a Sample, own: &'a View) -> Option<Window<'a>> {
    let (bytes, buffer) = match search.spec.content {
        Content::Index { .. } => {
            let parent = sample.view(&search.path.parent()?)?;
            (&parent.bytes[..], &own.bytes[..])
        }
        _ => (&own.bytes[..], &[][..]),
    };
    Some(Window {
        bytes,
        address: own.address,
        parent_address: own.parent_address,
        buffer,
    })
}
