//! How the candidates of each field were eliminated, for `--explain`: lines for people, one picture per
//! field. Pure. It shows offsets and counts of the kernel's memory, never a byte. [`picture`] draws.
//!
//! The picture of a field is of one path to it over proven pointers; each other path is one line. Fields
//! that are not proven come last, next to the prompt.

mod picture;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::iter;

use guess::fields::Place;
use guess::path::AccessPath;
use guess::solve::Solver;
use guess::solve::candidates::Change;
use guess::solve::evidence::ENOUGH_BITS;
use guess::solve::sample::Sample;
use guess::solve::search::Search;
use guess::solve::verdict::Finding;
use shared::offsets::Status;

use crate::terminal::Page;
use picture::list;

/// So many other paths to a field get a line.
const OTHER_PATHS: usize = 5;
/// Of the samples that dropped candidates the first so many are shown, and the last one.
const FIRST_CHANGES: usize = 6;

/// Lines of text, none wider than the page unless it is very narrow.
#[must_use]
pub fn lines(solver: &Solver, findings: &[Finding], samples: &[Sample], page: Page) -> Vec<String> {
    let explanation = Explanation {
        solver,
        samples,
        page,
    };
    let is_proven = |finding: &&Finding| finding.offset().is_some();
    let (proven, others): (Vec<&Finding>, Vec<&Finding>) = findings.iter().partition(is_proven);
    let asked: Vec<Place> = findings.iter().map(|one| one.field.into()).collect();
    let searched = solver.searches().iter().map(|search| search.spec.place);
    let helpers: BTreeSet<Place> = searched.filter(|place| !asked.contains(place)).collect();
    let field = |finding| explanation.field(finding);
    let lines = proven.into_iter().flat_map(field);
    let lines = lines.chain(helpers.into_iter().flat_map(|one| explanation.helper(one)));
    let lines = lines.chain(others.into_iter().flat_map(field));
    lines.map(|line| page.clip(&line)).collect()
}

struct Explanation<'a> {
    solver: &'a Solver,
    samples: &'a [Sample],
    page: Page,
}

impl Explanation<'_> {
    fn field(&self, finding: &Finding) -> Vec<String> {
        let bits = match finding.evidence_bits {
            Some(bits) => format!("{bits} bits of evidence ({ENOUGH_BITS} needed)"),
            None => "no evidence".to_owned(),
        };
        let verdict = match (finding.offset(), finding.status) {
            (Some(offset), _) => format!("proven at {offset}"),
            (None, Status::Missing) => "MISSING".to_owned(),
            (None, _) => "AMBIGUOUS".to_owned(),
        };
        let reason = finding.reason.iter().flat_map(|why| self.page.wrap(why));
        iter::once(format!("{}: {verdict}; {bits}", finding.field))
            .chain(reason)
            .chain(self.searches(finding.field.into()))
            .collect()
    }

    /// A place that was not asked for, but that other fields need.
    fn helper(&self, place: Place) -> Vec<String> {
        let verdict = match self.solver.proven(place) {
            Some(offset) => format!("proven at {offset}"),
            None => "not proven".to_owned(),
        };
        let headline = format!("{place}: {verdict}; not asked for, needed for others");
        [vec![headline], self.searches(place)].concat()
    }

    /// The picture of the most telling path, and the other paths.
    fn searches(&self, place: Place) -> Vec<String> {
        let proven = self.solver.proven_paths(place.spec().searched_at());
        let all = self.solver.searches().iter();
        let all = all.filter(|search| search.spec.place == place);
        // The one with fewest candidates decides; of equals, the one with most evidence is shown.
        let shown = all
            .clone()
            .filter(|one| proven.contains(&one.path) && one.candidates.left().is_some())
            .min_by_key(|one| (one.candidates.left(), u32::MAX - one.evidence.net_bits()));
        let mut lines = shown.map_or_else(Vec::new, |search| self.picture(search));
        let mut others = all
            .filter(|search| shown.is_none_or(|shown| shown.path != search.path))
            .map(|search| self.in_one_line(search, proven.contains(&search.path)));
        lines.extend(others.by_ref().take(OTHER_PATHS));
        match others.count() {
            0 => {}
            more => lines.push(format!("  and {more} more paths")),
        }
        lines
    }

    fn picture(&self, search: &Search) -> Vec<String> {
        let places = search.evidence.places();
        let bar = self.page.bar(places, places);
        let from = where_from(&search.path);
        let mut lines = vec![format!("  {places:>5} {bar} possible {from}")];
        let trail = &search.candidates.trail;
        let hidden = FIRST_CHANGES..trail.len().saturating_sub(1);
        for (index, change) in trail.iter().enumerate() {
            if !hidden.contains(&index) {
                lines.push(self.change(change, places));
            } else if index == hidden.start {
                let more = hidden.len();
                lines.push(format!("        {more} more samples that dropped some"));
            }
        }
        let left = search.candidates.alive().unwrap_or_default();
        // A header's index lies in the struct that holds it, although the search follows the buffer.
        let window_bytes = search.spec.inside.window_bytes();
        lines.push(format!("        {}", self.page.axis(&left, window_bytes)));
        if left.len() != 1 {
            lines.push(format!("        left: {}", list(&left)));
        }
        lines
    }

    fn change(&self, change: &Change, places: usize) -> String {
        let number = change.sample;
        let why = match self.samples.get((number as usize).wrapping_sub(1)) {
            _ if change.by_search_behind => "nothing was found behind",
            Some(sample) => &sample.name,
            None => "unknown",
        };
        let bar = self.page.bar(change.left, places);
        let dropped = match change.fallen.as_slice() {
            [] => String::new(),
            some => format!(" not {},", list(some)),
        };
        format!("  {:>5} {bar} #{number}{dropped} {why}", change.left)
    }

    fn in_one_line(&self, search: &Search, is_proven: bool) -> String {
        let condition = if is_proven { "" } else { ", if that is right" };
        let state = match (search.candidates.alive(), search.candidates.trail.last()) {
            (Some(left), Some(last)) if left.is_empty() => {
                format!("none left after #{}", last.sample)
            }
            (Some(left), _) => format!("{} left", list(&left)),
            (None, _) => "no sample".to_owned(),
        };
        format!("  {}{condition}: {state}", where_from(&search.path))
    }
}

fn where_from(path: &AccessPath) -> String {
    let steps = path.steps.iter();
    let steps: Vec<String> = steps
        .map(|step| format!("{} at {}", step.pointer, step.offset))
        .collect();
    if steps.is_empty() {
        format!("in what {:?} shows", path.event)
    } else {
        format!("behind {}", steps.join(", "))
    }
}
