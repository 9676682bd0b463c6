//! The judge of a run under a condition: exit code, message, time, modules, and no wrong offset.

use serde::Deserialize;
use serde::Serialize;

use super::judge::Expectation;
use super::judge::judge;
use super::kernels::Condition;
use crate::run::Run;

/// The result of a condition.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConditionOutcome {
    /// [`Condition::name`].
    pub name: String,
    /// Exit code; absent if a signal ended it.
    pub exit: Option<i32>,
    /// The line of stderr that was expected, else the last one; empty if there was none.
    pub said: String,
    /// From start to end, in microseconds.
    pub wall_us: u64,
    /// What is not as expected, in a sentence each.
    pub unexpected: Vec<String>,
}

/// A run under a condition, and which modules the kernel had.
#[derive(Debug, Clone)]
pub struct ConditionRun {
    /// The run.
    pub run: Run,
    /// Modules before it.
    pub before: Vec<String>,
    /// Modules after it.
    pub after: Vec<String>,
}

/// Judges a run under a condition; its time only if there is a limit.
#[must_use]
pub fn judge_condition(
    condition: &Condition,
    expected: &Expectation,
    limit_ms: Option<u64>,
    seen: &ConditionRun,
) -> ConditionOutcome {
    let ConditionRun { run, before, after } = seen;
    let mut unexpected = Vec::new();
    let loaded = after.iter().filter(|module| !before.contains(module));
    unexpected.extend(loaded.map(|module| format!("the kernel loaded {module}")));
    let unloaded = before.iter().filter(|module| !after.contains(module));
    unexpected.extend(unloaded.map(|module| format!("the kernel unloaded {module}")));
    if run.code != Some(condition.exit) {
        let ended = run
            .code
            .map_or("no exit code".into(), |code| format!("exit {code}"));
        unexpected.push(format!("{ended} instead of {}", condition.exit));
    }
    let ms = run.wall_us / 1_000;
    if let Some(limit_ms) = limit_ms.filter(|limit_ms| ms > *limit_ms) {
        unexpected.push(format!("took {ms} ms, more than {limit_ms}"));
    }
    let message = run.err.lines().find(|line| line.contains(&condition.says));
    if message.is_none() && !condition.says.is_empty() {
        unexpected.push(format!("does not say {:?}", condition.says));
    }
    // A run that ends with a code above 1 measured nothing: it says why in one line, and writes nothing.
    if condition.exit > 1 {
        let lines = run.err.lines().count();
        if lines != 1 {
            unexpected.push(format!("says {lines} lines instead of one"));
        }
        if !run.out.is_empty() {
            unexpected.push("writes a document, but should not".into());
        }
    } else {
        let verdict = judge(expected, run);
        unexpected.extend(verdict.wrong.iter().map(|wrong| format!("WRONG: {wrong}")));
        unexpected.extend(verdict.missed);
        let stale = |field| {
            let reason = expected.reasons.get(field)?;
            Some(format!("{field} is proven, despite: {reason}"))
        };
        unexpected.extend(verdict.right.iter().filter_map(stale));
    }
    ConditionOutcome {
        name: condition.name.clone(),
        exit: run.code,
        said: message
            .or(run.err.lines().last())
            .unwrap_or_default()
            .to_owned(),
        wall_us: run.wall_us,
        unexpected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::kernels::Reasons;
    use crate::matrix::layout::Layout;
    use shared::offsets::Field;
    use shared::offsets::FieldSet;

    fn unexpected_of(exit: i32, seen: &ConditionRun) -> Vec<String> {
        let reasons = Reasons::from([(Field::NfConnMark, "no marks".into())]);
        let condition = Condition {
            fields: FieldSet::Conntrack,
            hook: "auto".into(),
            name: "no bpf".into(),
            append: String::new(),
            smp: 2,
            without_modules: false,
            steered: false,
            without_bpf: true,
            exit,
            says: "bpf(2)".into(),
            missing: Vec::new(),
        };
        let lines: Vec<String> = Field::ALL
            .iter()
            .map(|field| format!("{field} 8"))
            .collect();
        let expected = Expectation {
            release: "6",
            fields: &[],
            layout: &Layout::parse(&lines.join("\n")).unwrap(),
            reasons: &reasons,
        };
        judge_condition(&condition, &expected, Some(2_000), seen).unexpected
    }

    fn unexpected(exit: i32, run: &Run) -> Vec<String> {
        let modules = vec!["nf_tables".to_owned()];
        let seen = ConditionRun {
            run: run.clone(),
            before: modules.clone(),
            after: modules,
        };
        unexpected_of(exit, &seen)
    }

    fn refusal() -> Run {
        Run {
            wall_us: 90_000,
            code: Some(4),
            out: String::new(),
            err: "guesser: bpf(2) is forbidden\n".into(),
        }
    }

    #[test]
    fn a_refusal_as_documented_passes() {
        assert_eq!(unexpected(4, &refusal()), Vec::<String>::new());
    }

    #[test]
    fn a_loaded_or_unloaded_module_is_reported() {
        let seen = ConditionRun {
            run: refusal(),
            before: vec!["nf_tables".into(), "veth".into()],
            after: vec!["x_tables".into(), "nf_tables".into()],
        };
        assert_eq!(
            unexpected_of(4, &seen),
            ["the kernel loaded x_tables", "the kernel unloaded veth"]
        );
    }

    #[test]
    fn every_deviation_is_reported() {
        let mut slow = refusal();
        slow.wall_us = 2_001_000;
        assert_eq!(unexpected(4, &slow), ["took 2001 ms, more than 2000"]);
        assert_eq!(unexpected(5, &refusal()), ["exit 4 instead of 5"]);
        let mut killed = refusal();
        killed.code = None;
        assert_eq!(unexpected(4, &killed), ["no exit code instead of 4"]);
        let mut talkative = refusal();
        talkative.err += "more\n";
        talkative.out = "{}".into();
        assert_eq!(
            unexpected(4, &talkative),
            [
                "says 2 lines instead of one",
                "writes a document, but should not"
            ]
        );
        let mut other = refusal();
        other.err = "guesser: no\n".into();
        assert_eq!(unexpected(4, &other), ["does not say \"bpf(2)\""]);
        // A field that is proven needs no reason.
        let field = serde_json::json!({"name": "nf_conn.mark", "status": "proven", "offset": 8,
            "size": 4, "method": "guess", "evidence_bits": 60, "candidates": [8]});
        let mut proven = refusal();
        proven.code = Some(0);
        proven.out = serde_json::json!({"schema": 1, "elapsed_us": 9, "fields": [field],
            "kernel": {"release": "6", "version": "#1", "machine": "x86_64"}})
        .to_string();
        assert_eq!(
            unexpected(0, &proven),
            ["nf_conn.mark is proven, despite: no marks"]
        );
        // Exit 0 needs a document.
        let mut empty = refusal();
        empty.code = Some(0);
        assert_eq!(
            unexpected(0, &empty),
            ["no document, exit 0: guesser: bpf(2) is forbidden"]
        );
    }
}
