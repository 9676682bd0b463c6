//! The result of one kernel: each field, the runs in each state, the conditions; and whether all is as
//! expected. Counts and compares; runs nothing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;
use shared::offsets::Field;

use super::condition::ConditionOutcome;
use super::judge::Expectation;
use super::judge::Verdict;

/// How many of 100 runs must be complete.
const COMPLETE_PERCENT: usize = 99;

/// A run beside fewer connections met no storm.
const STORM_CONNECTIONS: u64 = 10;

/// One kernel's result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// [`super::kernels::Kernel::name`].
    pub kernel: String,
    /// `uname -r`.
    pub release: String,
    /// Version of the package, of a kernel or of its source.
    pub taken: String,
    /// Version of Sextant, as git describes it.
    pub sextant: String,
    /// [`super::stale::asked`]; empty in results of older versions.
    #[serde(default)]
    pub asked: String,
    /// Each requested field.
    pub fields: Vec<FieldOutcome>,
    /// Runs on a guest that does nothing else.
    pub idle: Tally,
    /// Runs beside processes that connect and close.
    pub storm: Tally,
    /// Fewest connections that were opened during one run of `storm`.
    pub storm_connections: u64,
    /// In the order of `tests/kernels.toml`.
    pub conditions: Vec<ConditionOutcome>,
}

/// One field on one kernel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FieldOutcome {
    /// [`Field::path`].
    pub path: String,
    /// Its real offset; absent if the kernel has no such field.
    pub offset: Option<u32>,
    /// Why it need not be proven.
    pub reason: Option<String>,
    /// Number of runs that proved it and were right.
    pub proven: usize,
}

/// Runs in one state.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tally {
    /// How many.
    pub total: usize,
    /// Those in which nothing was wrong or missed.
    pub complete: usize,
    /// Those with a wrong claim.
    pub wrong: usize,
    /// The time of each, from start to end, in microseconds.
    pub wall_us: Vec<u64>,
    /// What was wrong or missed, and in how many runs.
    pub complaints: BTreeMap<String, usize>,
}

impl Tally {
    /// Counts runs by their times and verdicts.
    #[must_use]
    pub fn of(runs: &[(u64, Verdict)]) -> Self {
        let mut tally = Self::default();
        for (wall_us, verdict) in runs {
            tally.total += 1;
            tally.complete += usize::from(verdict.is_complete());
            tally.wrong += usize::from(!verdict.wrong.is_empty());
            tally.wall_us.push(*wall_us);
            for complaint in verdict.wrong.iter().chain(&verdict.missed) {
                *tally.complaints.entry(complaint.clone()).or_default() += 1;
            }
        }
        tally
    }

    /// Median time in milliseconds; absent without runs.
    #[must_use]
    pub fn median_ms(&self) -> Option<f64> {
        let mut sorted = self.wall_us.clone();
        sorted.sort_unstable();
        let middle = sorted.get(sorted.len() / 2)?;
        Some(*middle as f64 / 1e3)
    }

    fn is_good_enough(&self) -> bool {
        let enough = self.complete * 100 >= self.total * COMPLETE_PERCENT;
        self.total > 0 && self.wrong == 0 && enough
    }

    fn unexpected(&self, state: &str) -> Vec<String> {
        if self.is_good_enough() {
            return Vec::new();
        }
        let Self {
            total,
            complete,
            wrong,
            ..
        } = self;
        let complaint =
            |(what, runs): (&String, &usize)| format!("{state}: {what} ({runs} of {total} runs)");
        let counts = format!("{state}: {complete} complete and {wrong} WRONG of {total} runs");
        let complaints = self.complaints.iter().map(complaint);
        [counts].into_iter().chain(complaints).collect()
    }
}

/// Each requested field, after these runs.
#[must_use]
pub fn of_fields(expected: &Expectation, verdicts: &[&Verdict]) -> Vec<FieldOutcome> {
    let outcome = |field: &Field| FieldOutcome {
        path: field.path().into(),
        offset: expected.layout.of(*field),
        reason: expected.reasons.get(field).cloned(),
        proven: verdicts
            .iter()
            .filter(|verdict| verdict.right.contains(field))
            .count(),
    };
    expected.fields.iter().map(outcome).collect()
}

impl Outcome {
    /// Runs of both states.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.idle.total + self.storm.total
    }

    /// Everything that is not as expected, in a sentence each.
    #[must_use]
    pub fn unexpected(&self) -> Vec<String> {
        let mut said = self.idle.unexpected("idle");
        said.extend(self.storm.unexpected("storm"));
        let connections = self.storm_connections;
        if connections < STORM_CONNECTIONS {
            said.push(format!(
                "storm: a run beside only {connections} connections, needs {STORM_CONNECTIONS}"
            ));
        }
        for field in &self.fields {
            if let Some(reason) = &field.reason {
                if field.proven > 0 {
                    let (path, proven, runs) = (&field.path, field.proven, self.runs());
                    said.push(format!(
                        "{path} is proven in {proven} of {runs} runs, despite: {reason}"
                    ));
                }
            }
        }
        for condition in &self.conditions {
            for words in &condition.unexpected {
                said.push(format!("{}: {words}", condition.name));
            }
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(wrong: &[&str], missed: &[&str]) -> Verdict {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Verdict {
            right: Vec::new(),
            wrong: owned(wrong),
            missed: owned(missed),
        }
    }

    fn outcome(idle: &[(u64, Verdict)]) -> Outcome {
        Outcome {
            kernel: "k".into(),
            release: "6".into(),
            taken: "6-1".into(),
            sextant: "abc".into(),
            asked: String::new(),
            fields: Vec::new(),
            idle: Tally::of(idle),
            storm: Tally::of(&[(9, Verdict::default())]),
            storm_connections: 10,
            conditions: Vec::new(),
        }
    }

    #[test]
    fn runs_are_counted_and_complaints_are_kept() {
        let runs = [
            (3_000, verdict(&[], &[])),
            (9_000, verdict(&["mark at 9"], &[])),
            (1_000, verdict(&[], &["zone: missing"])),
            (2_000, verdict(&["mark at 9"], &["zone: missing"])),
        ];
        let tally = Tally::of(&runs);
        assert_eq!((tally.total, tally.complete, tally.wrong), (4, 1, 2));
        assert_eq!(tally.median_ms(), Some(3.0));
        assert_eq!(tally.complaints["mark at 9"], 2);
        let said = outcome(&runs).unexpected();
        assert_eq!(
            said,
            [
                "idle: 1 complete and 2 WRONG of 4 runs",
                "idle: mark at 9 (2 of 4 runs)",
                "idle: zone: missing (2 of 4 runs)"
            ]
        );
    }

    #[test]
    fn one_incomplete_run_of_a_hundred_passes_and_one_wrong_run_fails() {
        let mut runs: Vec<_> = (0..100).map(|_| (1, Verdict::default())).collect();
        assert_eq!(outcome(&runs).unexpected(), Vec::<String>::new());
        runs[0].1 = verdict(&[], &["zone: missing"]);
        assert_eq!(outcome(&runs).unexpected(), Vec::<String>::new());
        runs[1].1 = verdict(&[], &["zone: missing"]);
        assert!(!outcome(&runs).unexpected().is_empty());
        runs[1].1 = Verdict::default();
        runs[0].1 = verdict(&["mark at 9"], &[]);
        assert!(!outcome(&runs).unexpected().is_empty());
    }

    #[test]
    fn no_runs_no_storm_and_stale_reasons_are_reported() {
        assert_eq!(
            outcome(&[]).unexpected(),
            ["idle: 0 complete and 0 WRONG of 0 runs"]
        );
        let mut calm = outcome(&[(1, Verdict::default())]);
        calm.storm_connections = 9;
        assert_eq!(
            calm.unexpected(),
            ["storm: a run beside only 9 connections, needs 10"]
        );
        let mut stale = outcome(&[(1, Verdict::default())]);
        stale.fields.push(FieldOutcome {
            path: "nf_conn.zone".into(),
            offset: Some(12),
            reason: Some("no zones".into()),
            proven: 1,
        });
        assert_eq!(
            stale.unexpected(),
            ["nf_conn.zone is proven in 1 of 2 runs, despite: no zones"]
        );
        stale.fields[0].proven = 0;
        assert_eq!(stale.unexpected(), Vec::<String>::new());
    }
}
