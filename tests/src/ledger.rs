//! The connections of one namespace as a run reported them: each with its beginning and its end. What holds
//! for every stream of records is asserted when it is made.

use std::collections::HashMap;

use serde_json::Value;

/// A connection as reported.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// Its `new` or `dump`.
    pub began: Value,
    /// Its `destroy`, if there was one.
    pub ended: Option<Value>,
}

/// The connections of a namespace, in the order of their beginnings.
///
/// # Panics
/// If a beginning is not of a confirmed connection, an id begins twice, or an end is not exactly one
/// connection's.
#[must_use]
pub fn connections(records: &[Value], netns: u32) -> Vec<Connection> {
    let mut connections: Vec<Connection> = Vec::new();
    let mut places = HashMap::new();
    for record in records.iter().filter(|record| record["netns"] == netns) {
        let id = record["id"].as_u64().expect("every connection has an id");
        match record["type"].as_str() {
            Some("new" | "dump") => {
                assert!(is(record, "confirmed"), "never confirmed: {record}");
                let place = connections.len();
                if let Some(other) = places.insert(id, place) {
                    let other = &connections[other].began;
                    panic!("the id {id} begins twice: {other} and {record}");
                }
                connections.push(Connection {
                    began: record.clone(),
                    ended: None,
                });
            }
            Some("destroy") => {
                let place = places.get(&id);
                let place = place.unwrap_or_else(|| panic!("it never began: {record}"));
                let connection = &mut connections[*place];
                for key in ["family", "proto", "orig", "reply", "nat", "zone"] {
                    assert_eq!(connection.began[key], record[key], "{key} of {record}");
                }
                let before = connection.ended.replace(record.clone());
                assert_eq!(before, None, "it ends twice: {record}");
            }
            _ => {}
        }
    }
    connections
}

/// Has this status bit.
#[must_use]
pub fn is(record: &Value, bit: &str) -> bool {
    let status = record["status"].as_array();
    status.is_some_and(|status| status.iter().any(|name| name == bit))
}

/// `new` or `dump`.
#[must_use]
pub fn begins(record: &Value) -> bool {
    record["type"] == "new" || record["type"] == "dump"
}

/// A name and its source as text: `10.0.0.1:80`, with the port that follows it.
#[must_use]
pub fn end_of(record: &Value, direction: &str, side: &str) -> String {
    let tuple = &record[direction];
    let port = if side == "src" { "sport" } else { "dport" };
    let address = tuple[side].as_str().expect("an address");
    format!("{address}:{}", tuple[port])
}

/// The sum of what was counted as lost at this place.
///
/// # Panics
/// If a loss has no count.
#[must_use]
pub fn lost(records: &[Value], place: &str) -> u64 {
    let losses = records
        .iter()
        .filter(|record| record["type"] == "loss" && record["where"] == place);
    losses
        .map(|record| record["count"].as_u64().expect("a count"))
        .sum()
}
