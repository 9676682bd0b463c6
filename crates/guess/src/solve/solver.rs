//! The searches for a set of fields: what each sample does to them, where they go on, and what to capture
//! next.

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

use super::sample::Sample;
use super::sample::View;
use super::sample::leads_along;
use super::search::MIN_VALUES;
use super::search::Search;
use super::search::Window;

/// At most this many candidates of a pointer are followed at a time. While there are more, further samples
/// have to drop some.
const MAX_BRANCHES: usize = 12;
/// After this many values of a pointer, its candidates are followed even if there are more.
const ENOUGH_VALUES: usize = 12;

/// The searches for a set of fields.
#[derive(Debug, Clone)]
pub struct Solver {
    pub(super) fields: Vec<Field>,
    pub(super) needed: BTreeSet<Place>,
    /// Those along the same path are next to each other.
    pub(super) searches: Vec<Search>,
    samples: u32,
    /// Fields that no sample will determine on this kernel.
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

    /// The requested fields.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Stops waiting for fields that no experiment can determine on this kernel.
    pub fn give_up(&mut self, fields: &[Field]) {
        self.given_up.extend(fields);
    }

    /// Whether anything is searched in such a struct.
    #[must_use]
    pub fn needs(&self, inside: Struct) -> bool {
        let mut needed = self.needed.iter();
        needed.any(|place| place.spec().inside == inside)
    }

    /// Drops the candidates that a sample contradicts. Searches in a struct that was not captured are not
    /// affected.
    pub fn observe(&mut self, sample: &Sample) {
        self.samples += 1;
        let mut last: Option<&View> = None;
        for search in &mut self.searches {
            let mut expected = sample.expected.iter();
            let Some((_, expected)) = expected.find(|(place, _)| *place == search.spec.place)
            else {
                continue;
            };
            if last.is_none_or(|view| view.path != search.path) {
                let own = sample.view(&search.path);
                last = own.filter(|_| leads_along(&sample.expected, &search.path));
            }
            if let Some(window) = last.and_then(|own| window(search, sample, own)) {
                search.observe(self.samples, expected, window);
            }
        }
    }

    /// Drops the candidates of pointers behind which nothing was found, and begins to search behind others.
    pub fn advance(&mut self) {
        let any_news = |any: bool, search: &mut Search| search.take_news() | any;
        if self.searches.iter_mut().fold(false, any_news) {
            self.refute_pointers();
            self.leave_dead_paths();
        }
        let mut behind = Vec::new();
        for search in &mut self.searches {
            let (Some(to), Some(left)) = (search.spec.leads_to(), search.candidates.left()) else {
                continue;
            };
            let values = search.evidence.distinct();
            if values >= MIN_VALUES && left <= MAX_BRANCHES || values >= ENOUGH_VALUES {
                let paths = search.follow(MAX_BRANCHES);
                behind.extend(paths.map(|path| (to, path)));
            }
        }
        for (to, path) in behind {
            self.enter(to, &path);
        }
    }

    /// What to capture next at such an event, in which nothing is known behind some pointers: the object
    /// that the hook shows, which says whose event it is, and as many of the undecided structs behind it as
    /// fit, those with the fewest samples first. None if nothing is searched there.
    #[must_use]
    pub fn plan(&self, event: Event, unknown: &[Place]) -> Option<ReadPlan> {
        let is_unknown = |step: &Step| unknown.contains(&step.pointer);
        let along_one_path = self.searches.chunk_by(|one, next| one.path == next.path);
        let mut paths = Vec::new();
        for searches in along_one_path {
            let AccessPath {
                event: begin,
                steps,
            } = &searches[0].path;
            let is_decided = |one: &Search| one.is_decided() || self.is_given_up(one.spec.place);
            let is_wanted = steps.is_empty() || !searches.iter().all(is_decided);
            if *begin == event && is_wanted && !steps.iter().any(is_unknown) {
                let samples = searches.iter().map(|one| one.samples).max();
                paths.push((!steps.is_empty(), samples, &searches[0]));
            }
        }
        paths.sort_by_key(|(is_behind, samples, _)| (*is_behind, *samples));
        let mut plan = ReadPlan::new(event);
        for (_, _, search) in &paths {
            let end = search.spec.searched_at();
            plan.add(Read::window(search.path.clone(), end));
        }
        (!paths.is_empty()).then_some(plan)
    }

    /// Whether each field is proven or can no longer be found, so that further samples are useless.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let mut fields = self.fields.iter();
        !fields.any(|field| self.is_open(Place::Field(*field)))
    }

    /// Whether samples of a place are still of use, for itself or for a pointer that it proves.
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
        let searches = self.searches_along_proven_paths(spec);
        if !searches.is_empty() {
            return searches.iter().any(|search| search.candidates.is_empty());
        }
        let mut pointers = spec.searched_at().reached_by();
        let wanted = |pointer: &&Spec| self.needed.contains(&pointer.place);
        !spec.searched_at().is_shown()
            && pointers.all(|pointer| !wanted(&pointer) || self.is_hopeless(pointer.place))
    }

    /// All searches, including those along paths that may turn out to be wrong.
    #[must_use]
    pub fn searches(&self) -> &[Search] {
        &self.searches
    }

    /// Begins the needed searches in a struct.
    fn enter(&mut self, inside: Struct, path: &AccessPath) {
        let specs = SPECS.iter().filter(|spec| spec.searched_at() == inside);
        let needed = specs.filter(|spec| self.needed.contains(&spec.place));
        let new = |spec| Search::new(spec, path.clone());
        self.searches.extend(needed.map(new));
    }

    /// Drops the candidates of pointers behind which something that must be there was not found.
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

    /// Ends the searches along paths that contain a dropped candidate.
    fn leave_dead_paths(&mut self) {
        let is_pointer = |search: &&Search| search.spec.leads_to().is_some();
        let pointers: Vec<&Search> = self.searches.iter().filter(is_pointer).collect();
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

/// What a sample shows to a search; `own` is the view along its path. None if too little was captured.
fn window<'a>(search: &Search, sample: &'a Sample, own: &'a View) -> Option<Window<'a>> {
    let (bytes, buffer) = match search.spec.content {
        Content::Index { .. } => {
            let parent = sample.view(&search.path.parent()?)?;
            (&parent.bytes, &own.bytes[..])
        }
        _ => (&own.bytes, &[][..]),
    };
    Some(Window {
        bytes,
        address: own.address,
        parent_address: own.parent_address,
        buffer,
    })
}
