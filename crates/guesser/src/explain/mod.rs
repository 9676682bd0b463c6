//! How the candidates of each field died, for `--explain`: lines for people, per field one picture.
//! Pure; and of the kernel's memory it shows offsets and counts, never a byte. [`picture`] draws.
//!
//! A field is shown along a way whose pointers are proven; what other ways say is one line each. What
//! is not proven comes last, next to the prompt.

mod picture;

#[cfg(test)]
mod tests;

use shared::offsets::Status;

use crate::terminal::Page;
use guess::fields::Place;
use guess::path::AccessPath;
use guess::solve::Solver;
use guess::solve::candidates::Change;
use guess::solve::evidence::ENOUGH_BITS;
use guess::solve::sample::Sample;
use guess::solve::search::Search;
use guess::solve::verdict::Finding;
use picture::Pen;

/// Other ways to a field than the one that is shown: so many are told of.
const OTHER_WAYS: usize = 5;
/// Samples that decided: the first so many are shown, and the last one.
const FIRST_CHANGES: usize = 6;

/// Lines of text, none wider than the page unless it is very narrow.
#[must_use]
pub fn lines(solver: &Solver, findings: &[Finding], samples: &[Sample], page: Page) -> Vec<String> {
    let pen = Pen::new(page);
    let reader = Reader {
        solver,
        samples,
        pen,
    };
    let (proven, others): (Vec<&Finding>, Vec<&Finding>) = findings
        .iter()
        .partition(|finding| finding.offset().is_some());
    let mut lines = Vec::new();
    for finding in proven {
        lines.extend(reader.field(finding));
    }
    for place in reader.stepping_stones() {
        lines.extend(reader.stepping_stone(place));
    }
    for finding in others {
        lines.extend(reader.field(finding));
    }
    lines.into_iter().map(|line| pen.clip(&line)).collect()
}

struct Reader<'a> {
    solver: &'a Solver,
    samples: &'a [Sample],
    pen: Pen,
}

impl Reader<'_> {
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
        let mut lines = vec![format!("{}: {verdict}; {bits}", finding.field)];
        if let Some(why) = &finding.reason {
            lines.extend(self.pen.wrap(why));
        }
        lines.extend(self.search(Place::Field(finding.field)));
        lines
    }

    /// Places that nobody asks for but that lead to others.
    fn stepping_stones(&self) -> Vec<Place> {
        let mut stones = Vec::new();
        for search in self.solver.searches() {
            let place = search.spec.place;
            let is_asked_for =
                matches!(place, Place::Field(field) if self.solver.fields().contains(&field));
            if !is_asked_for && !stones.contains(&place) {
                stones.push(place);
            }
        }
        stones
    }

    fn stepping_stone(&self, place: Place) -> Vec<String> {
        let verdict = match self.solver.proven(place) {
            Some(offset) => format!("proven at {offset}"),
            None => "not proven".to_owned(),
        };
        let mut lines = vec![format!(
            "{place}: {verdict}; not asked for, needed for others"
        )];
        lines.extend(self.search(place));
        lines
    }

    /// The picture along the way that tells most, and the other ways.
    fn search(&self, place: Place) -> Vec<String> {
        let paths = self.solver.proven_paths(place.spec().searched_at());
        let searches = self.solver.searches().iter();
        let all: Vec<&Search> = searches
            .filter(|search| search.spec.place == place)
            .collect();
        let mut proven: Vec<&Search> = all
            .iter()
            .copied()
            .filter(|search| paths.contains(&search.path) && search.candidates.alive().is_some())
            .collect();
        // Fewest left first: that is what decides. Of equals the one that was seen most.
        proven.sort_by_key(|search| {
            let left = search.candidates.alive().map_or(0, |alive| alive.len());
            (left, u32::MAX - search.evidence.net_bits())
        });
        let shown = proven.first().copied();
        let mut lines = shown.map_or_else(Vec::new, |search| self.picture(search));
        let others: Vec<&Search> = all
            .into_iter()
            .filter(|search| shown.is_none_or(|shown| shown.path != search.path))
            .collect();
        for search in others.iter().take(OTHER_WAYS) {
            let is_proven = paths.contains(&search.path);
            lines.push(self.in_one_line(search, is_proven));
        }
        if others.len() > OTHER_WAYS {
            let more = others.len() - OTHER_WAYS;
            lines.push(format!("  and {more} ways more"));
        }
        lines
    }

    fn picture(&self, search: &Search) -> Vec<String> {
        let places = search.evidence.places();
        let mut lines = vec![format!(
            "  {places:>5} {} possible {}",
            self.pen.bar(places, places),
            where_from(&search.path)
        )];
        let (first, rest) = search
            .candidates
            .trail
            .split_at(search.candidates.trail.len().min(FIRST_CHANGES));
        lines.extend(first.iter().map(|change| self.change(change, places)));
        if let Some((last, between)) = rest.split_last() {
            if !between.is_empty() {
                lines.push(format!(
                    "        {} samples more that decided",
                    between.len()
                ));
            }
            lines.push(self.change(last, places));
        }
        let alive = search.candidates.alive().unwrap_or_default();
        // Of an index the window is that of the struct that holds it.
        let window_bytes = search.spec.inside.window_bytes();
        lines.push(format!("        {}", self.pen.axis(&alive, window_bytes)));
        if alive.len() != 1 {
            lines.push(format!("        left: {}", self.pen.offsets(&alive)));
        }
        lines
    }

    fn change(&self, change: &Change, places: usize) -> String {
        let number = change.sample;
        let index = (number as usize).checked_sub(1);
        let sample = index.and_then(|index| self.samples.get(index));
        let why = match sample {
            _ if change.by_search_behind => "nothing was found behind",
            Some(sample) => &sample.name,
            None => "unknown",
        };
        let bar = self.pen.bar(change.left, places);
        let fallen = match change.fallen.as_slice() {
            [] => String::new(),
            some => format!(" not {},", self.pen.offsets(some)),
        };
        format!("  {:>5} {bar} #{number}{fallen} {why}", change.left)
    }

    fn in_one_line(&self, search: &Search, is_proven: bool) -> String {
        let condition = if is_proven { "" } else { ", if that is right" };
        let said = match (search.candidates.alive(), search.candidates.trail.last()) {
            (Some(alive), Some(last)) if alive.is_empty() => {
                format!("none left after #{}", last.sample)
            }
            (Some(alive), _) => format!("{} left", self.pen.offsets(&alive)),
            (None, _) => "no sample".to_owned(),
        };
        format!("  {}{condition}: {said}", where_from(&search.path))
    }
}

fn where_from(path: &AccessPath) -> String {
    let steps: Vec<String> = path
        .steps
        .iter()
        .map(|step| format!("{} at {}", step.pointer, step.offset))
        .collect();
    if steps.is_empty() {
        format!("in what {:?} shows", path.event)
    } else {
        format!("behind {}", steps.join(", "))
    }
}
