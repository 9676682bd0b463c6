//! What `conntrack --get` answers from the table of a running conntrack.

use std::process::Command;

use harness::built;
use harness::run;
use serde_json::Value;

use crate::watch::Watch;

/// All that it prints for `PROTO,SRC:PORT,DST:PORT` in the namespace with this inode; nothing if it knows of
/// no such translation.
///
/// # Panics
/// If it can neither answer nor deny.
#[must_use]
pub fn asked(watch: &Watch, connection: &str, netns: u32) -> Vec<Value> {
    let mut command = Command::new(built("conntrack"));
    let query = format!("{connection},{netns}");
    command.args(["--get", &query, "-o", "json", "--pin"]);
    let finished = run(command.arg(watch.pin()));
    let records = finished.records();
    let expected = i32::from(records.is_empty());
    assert_eq!(finished.code, expected, "{query}: {}", finished.err);
    records
}
