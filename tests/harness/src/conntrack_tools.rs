//! What conntrack-tools, the oracle of many tests, see in a network namespace.

use std::fmt::Display;
use std::process::Command;

use crate::in_namespace;
use crate::run;

/// conntrack-tools' own program: never Sextant's, whatever `PATH` says.
const PROGRAM: &str = "/usr/sbin/conntrack";

/// Runs it with these arguments in a named namespace, or else in the thread's own; the lines that it printed.
///
/// # Panics
/// If it fails.
pub fn conntrack(namespace: Option<&str>, args: &[&str]) -> Vec<String> {
    let mut command = match namespace {
        Some(namespace) => in_namespace(namespace, PROGRAM),
        None => Command::new(PROGRAM),
    };
    let out = run(command.args(args)).success();
    out.lines().map(ToOwned::to_owned).collect()
}

/// The entries of the thread's namespace: `conntrack -L` with these arguments.
///
/// # Panics
/// If it fails.
#[must_use]
pub fn listed(args: &[&str]) -> Vec<String> {
    conntrack(None, &[&["-L"], args].concat())
}

/// Asserts that an entry has each of these words.
///
/// # Panics
/// If it lacks one.
pub fn assert_has(entry: &str, words: &[&dyn Display]) {
    for word in words {
        let word = word.to_string();
        assert!(
            entry.split_whitespace().any(|other| other == word),
            "no {word} in: {entry}"
        );
    }
}
