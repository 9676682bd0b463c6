//! What a run came to, as lines for people.

use std::collections::BTreeMap;

use super::run::Outcome;
use super::run::Task;
use super::visible::sees;

/// More differences than anyone reads.
const MOST: usize = 200;

/// The lines.
#[must_use]
pub fn lines(task: &Task<'_>, outcome: &Outcome) -> Vec<String> {
    let Task {
        seed,
        flows,
        source,
        ..
    } = task;
    let verdict = &outcome.verdict;
    let run = format!("{source} seed {seed}");
    let kinds = outcome.made.len();
    let mut lines = vec![format!(
        "{run}: {flows} flows of {kinds} kinds, {} connections, {} differences",
        verdict.connections,
        verdict.differences.len()
    )];
    for (kind, lack) in &outcome.skipped {
        lines.push(format!("{run}: SKIPPED {kind}: this kernel lacks {lack}"));
    }
    let not_made: BTreeMap<_, _> = outcome.not_made.iter().collect();
    for (kind, (count, why)) in not_made {
        let all = outcome.made.get(kind).copied().unwrap_or(0);
        lines.push(format!("{run}: NOT MADE {kind}: {count} of {all}: {why}"));
    }
    let unseen: BTreeMap<_, _> = verdict.unseen.iter().collect();
    for (kind, count) in unseen {
        let because = sees(*source, kind).1.unwrap_or_default();
        lines.push(format!("{run}: not seen of {kind}: {count}: {because}"));
    }
    if verdict.unknown_ends > 0 {
        let unknown = verdict.unknown_ends;
        lines.push(format!("{run}: {unknown} ends without status or mark"));
    }
    for (place, count) in &outcome.losses {
        lines.push(format!("{run}: lost on this machine: {count} at {place}"));
    }
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    for difference in &verdict.differences {
        *counts
            .entry((difference.kind, difference.fault))
            .or_default() += 1;
    }
    for ((kind, fault), count) in counts {
        lines.push(format!("{run}: {count} x {kind} {fault:?}"));
    }
    for difference in verdict.differences.iter().take(MOST) {
        lines.push(format!("{run}: {difference}"));
    }
    lines.push(format!("{run}: said {:?}", outcome.summary));
    let list: Vec<String> = {
        let made: BTreeMap<_, _> = outcome.made.iter().collect();
        made.iter()
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect()
    };
    lines.push(format!("{run}: {}", list.join(", ")));
    lines
}
