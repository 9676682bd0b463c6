//! Reads what kcheck reports; for the tests beside this folder.

use std::collections::HashMap;

use harness::Finished;
use serde_json::Value;

/// The program under test.
pub const KCHECK: &str = env!("CARGO_BIN_EXE_kcheck");

/// The report of `--json`.
pub fn json(said: &Finished) -> Value {
    assert_eq!(said.out.matches('\n').count(), 1, "one line");
    said.records().remove(0)
}

/// Verdict and errno by name, after checking the form of each probe.
pub fn probes(report: &Value) -> HashMap<String, (String, Option<String>)> {
    let list = report["probes"].as_array().expect("a list");
    list.iter()
        .map(|probe| {
            let text = |key: &str| probe[key].as_str().map(str::to_owned);
            let verdict = text("verdict").expect("a verdict");
            assert!(["yes", "no", "forbidden", "unknown"].contains(&verdict.as_str()));
            let detail = text("detail").expect("a sentence");
            assert!(!detail.is_empty() && !detail.ends_with('.'), "{detail}");
            let keys = probe.as_object().expect("an object").keys();
            let known = ["name", "verdict", "errno", "detail"];
            assert!(keys.into_iter().all(|key| known.contains(&key.as_str())));
            let errno = text("errno");
            assert!(errno.as_deref().is_none_or(|errno| errno.starts_with('E')));
            assert!(verdict != "yes" || errno.is_none());
            (text("name").expect("a name"), (verdict, errno))
        })
        .collect()
}
