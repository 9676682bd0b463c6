//! Runs kcheck and reads its report; for the tests beside this folder.

use std::collections::HashMap;
use std::process::Command;
use std::process::Output;

use nix::unistd::geteuid;
use serde_json::Value;

/// The program under test.
pub const KCHECK: &str = env!("CARGO_BIN_EXE_kcheck");

/// What a program said before it ended by itself.
pub struct Said {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Said {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .env_remove("SEXTANT_CONFIG")
        .output()
        .expect("it starts");
    Said {
        code: status.code().expect("it ends by itself"),
        out: String::from_utf8(stdout).expect("UTF-8"),
        err: String::from_utf8(stderr).expect("UTF-8"),
    }
}

/// Fails without root, rather than pass without having tested anything.
pub fn need_root() {
    assert!(
        geteuid().is_root(),
        "this test gives up privileges or needs all of them: run it as root"
    );
}

/// The report of `--json`.
pub fn json(said: &Said) -> Value {
    assert_eq!(said.out.matches('\n').count(), 1, "one line");
    serde_json::from_str(&said.out).expect("JSON")
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
