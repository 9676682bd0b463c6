//! What conntrack-tools report: the oracle of several tests, not the code under test.

use std::fmt::Display;
use std::process::Command;

/// What they list in the thread's namespace: `conntrack -L` with these arguments.
pub fn listed(args: &[&str]) -> Vec<String> {
    let mut list = Command::new("conntrack");
    let output = list.arg("-L").args(args).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let stdout = String::from_utf8(output.stdout).unwrap();
    stdout.lines().map(ToOwned::to_owned).collect()
}

/// That an entry has each of these words.
pub fn assert_has(entry: &str, words: &[&dyn Display]) {
    for word in words {
        let word = word.to_string();
        assert!(
            entry.split_whitespace().any(|other| other == word),
            "no {word} in: {entry}"
        );
    }
}
