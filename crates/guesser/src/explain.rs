//! How the candidates of each field died, for `--explain`.

use crate::solve::Solver;
use crate::solve::sample::Sample;
use crate::solve::track::Track;

/// Lines of text: per search a title, and per step what decided and how many were left.
#[must_use]
pub fn lines(solver: &Solver, samples: &[Sample]) -> Vec<String> {
    solver
        .tracks()
        .iter()
        .flat_map(|track| search(track, samples))
        .collect()
}

fn search(track: &Track, samples: &[Sample]) -> Vec<String> {
    let way: Vec<String> = track
        .way
        .steps
        .iter()
        .map(|step| format!("{} at {}", step.pointer, step.offset))
        .collect();
    let way = match way.as_slice() {
        [] => String::new(),
        steps => format!(" behind {}", steps.join(", ")),
    };
    let places = track.evidence.places();
    let mut lines = vec![format!("{}{way}: {places} places", track.spec.place)];
    for change in &track.trail {
        let name = samples
            .get((change.sample as usize).wrapping_sub(1))
            .map_or("", |sample| sample.name.as_str());
        let why = if change.by_search_behind {
            "nothing behind the others"
        } else {
            name
        };
        lines.push(format!(
            "  after sample {} ({why}): {} left",
            change.sample, change.left
        ));
    }
    let alive = track.alive().unwrap_or_default();
    let some: Vec<String> = alive.iter().take(8).map(u32::to_string).collect();
    let more = if alive.len() > some.len() {
        ", …"
    } else {
        ""
    };
    lines.push(format!("  left: {}{more}", some.join(", ")));
    lines
}
