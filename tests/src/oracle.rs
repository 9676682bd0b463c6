//! What other programs report of the same connection: conntrack-tools and iproute2. Parses their
//! output; shares no code with the programs under test.

use std::collections::HashMap;

use harness::conntrack_tools::conntrack;
use harness::ip;
use serde_json::Value;

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
    let lines = conntrack(Some(namespace), &["-L"]);
    lines.iter().map(|line| parse(line)).collect()
}

/// Drops all entries of a namespace.
pub fn flush(namespace: &str) {
    conntrack(Some(namespace), &["-F"]);
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
        let keys = match key {
            "src" | "dst" | "sport" | "dport" if !entry.orig.contains_key(key) => &mut entry.orig,
            "src" | "dst" | "sport" | "dport" => &mut entry.reply,
            _ => &mut entry.other,
        };
        keys.insert(key.to_owned(), value.to_owned());
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
    let other = ["mark", "zone"]
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), text(record.get(key)?))))
        .collect();
    Entry {
        proto: text(&record["proto"]),
        orig: tuple("orig"),
        reply: tuple("reply"),
        other,
    }
}

/// `ip -j route get` in a namespace: where a packet that came in by `iif` would go.
///
/// # Panics
/// If iproute2 fails.
#[must_use]
pub fn route(namespace: &str, dst: &str, src: &str, iif: &str) -> Value {
    let routes = ip(&[
        "-n", namespace, "-j", "route", "get", dst, "from", src, "iif", iif,
    ]);
    let routes: Value = serde_json::from_str(&routes).expect("iproute2 prints JSON");
    routes[0].clone()
}
