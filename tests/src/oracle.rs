//! What other people's programs say of the same connection: conntrack-tools and iproute2.
//! Parses their output; shares no code with the programs under test.

use std::collections::HashMap;
use std::process::Command;

use serde_json::Value;

use crate::program::in_namespace;
use crate::program::run;

/// conntrack-tools' own program: never ours, whatever `PATH` says.
const CONNTRACK_TOOLS: &str = "/usr/sbin/conntrack";

/// One line of `conntrack -L`: the keys of each direction, and those of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `tcp`, `udp`, …
    pub proto: String,
    /// `src`, `dst`, `sport`, `dport` as the caller sent it.
    pub orig: HashMap<String, String>,
    /// The same as the answer comes back.
    pub reply: HashMap<String, String>,
    /// `mark`, `zone`, …
    pub other: HashMap<String, String>,
}

/// The entries of a namespace, both address families.
#[must_use]
pub fn entries(namespace: &str) -> Vec<Entry> {
    run(&mut conntrack_tools(namespace, &["-L"]))
        .lines()
        .map(parse)
        .collect()
}

/// Drops all entries of a namespace.
pub fn flush(namespace: &str) {
    run(&mut conntrack_tools(namespace, &["-F"]));
}

/// A command of conntrack-tools in a namespace.
#[must_use]
pub fn conntrack_tools(namespace: &str, args: &[&str]) -> Command {
    let mut command = in_namespace(namespace, CONNTRACK_TOOLS);
    command.args(args);
    command
}

/// One line of `conntrack -L`.
#[must_use]
pub fn parse(line: &str) -> Entry {
    let mut words = line.split_whitespace();
    let proto = words.next().unwrap_or_default().to_owned();
    let mut entry = Entry {
        proto,
        orig: HashMap::new(),
        reply: HashMap::new(),
        other: HashMap::new(),
    };
    for (key, value) in words.filter_map(|word| word.split_once('=')) {
        let place = match key {
            "src" | "dst" | "sport" | "dport" if !entry.orig.contains_key(key) => &mut entry.orig,
            "src" | "dst" | "sport" | "dport" => &mut entry.reply,
            _ => &mut entry.other,
        };
        place.insert(key.to_owned(), value.to_owned());
    }
    entry
}

/// The same shape from one of our records.
///
/// # Panics
/// If the record lacks a key that every record of TCP or UDP must have.
#[must_use]
pub fn of_record(record: &Value) -> Entry {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let tuple = |name: &str| {
        let tuple = record[name]
            .as_object()
            .unwrap_or_else(|| panic!("no {name} in {record}"));
        tuple
            .iter()
            .map(|(key, value)| (key.clone(), text(value)))
            .collect()
    };
    let other = [("mark", "mark"), ("zone", "zone")]
        .into_iter()
        .filter(|(key, _)| record.get(key).is_some())
        .map(|(key, name)| (name.to_owned(), text(&record[key])))
        .collect();
    Entry {
        proto: text(&record["proto"]),
        orig: tuple("orig"),
        reply: tuple("reply"),
        other,
    }
}

/// `ip -j route get` in a namespace: where a packet that came in by `iif` would go.
#[must_use]
pub fn route(namespace: &str, dst: &str, src: &str, iif: &str) -> Value {
    let mut command = Command::new("ip");
    command.args([
        "-n", namespace, "-j", "route", "get", dst, "from", src, "iif", iif,
    ]);
    let routes: Value = serde_json::from_str(&run(&mut command)).expect("iproute2 prints JSON");
    routes[0].clone()
}
