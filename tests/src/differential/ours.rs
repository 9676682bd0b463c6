//! Reads a record of the programs under test as an event, by the keys of `docs/records.md`. Pure.

use serde_json::Value;

use super::event::Event;
use super::event::GRE;
use super::event::ICMP;
use super::event::ICMPV6;
use super::event::Key;
use super::event::Layer4;
use super::event::Nat;
use super::event::TCP;
use super::event::Tuple;
use super::event::UDP;
use super::event::What;

/// The event of a `new` or `destroy` record; none of another type.
///
/// # Errors
/// If such a record lacks what each must have.
pub fn event(record: &Value) -> Result<Option<Event>, String> {
    let what = match record["type"].as_str() {
        Some("new") => What::New,
        Some("destroy") => What::Destroy,
        _ => return Ok(None),
    };
    parse(what, record)
        .map(Some)
        .ok_or_else(|| format!("a record lacks what it must have: {record}"))
}

fn parse(what: What, record: &Value) -> Option<Event> {
    let proto = match record["proto"].as_str()? {
        "icmp" => ICMP,
        "tcp" => TCP,
        "udp" => UDP,
        "gre" => GRE,
        "icmpv6" => ICMPV6,
        number => number.parse().ok()?,
    };
    let has = |list: &str, name: &str| {
        let names = record[list].as_array()?;
        Some(names.iter().any(|known| known == name))
    };
    Some(Event {
        what,
        key: Key {
            proto,
            orig: tuple(&record["orig"])?,
            zone: record["zone"].as_u64()? as u16,
        },
        reply: tuple(&record["reply"])?,
        id: record["id"].as_u64()?,
        nat: Some(Nat {
            source: has("nat", "snat")?,
            destination: has("nat", "dnat")?,
        }),
        confirmed: has("status", "confirmed"),
        replied: has("status", "seen_reply"),
        assured: has("status", "assured"),
        mark: record["mark"].as_u64().map(|mark| mark as u32),
    })
}

fn tuple(tuple: &Value) -> Option<Tuple> {
    let address = |name: &str| tuple[name].as_str()?.parse().ok();
    let port = |value: &Value| value.as_u64().map(|port| port as u16);
    let icmp = &tuple["icmp"];
    let layer4 = match (port(&tuple["sport"]), port(&tuple["dport"]), icmp.is_null()) {
        (Some(src), Some(dst), true) => Layer4::Ports(src, dst),
        (None, None, true) => Layer4::Nothing,
        (None, None, false) => Layer4::Icmp {
            kind: port(&icmp["type"])? as u8,
            code: port(&icmp["code"])? as u8,
            id: port(&icmp["id"])?,
        },
        _ => return None,
    };
    Some(Tuple {
        src: address("src")?,
        dst: address("dst")?,
        layer4,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_absent_is_unknown_and_what_must_be_there_is_missed() {
        let mut record = json!({
            "type": "destroy", "id": 7, "netns": 1, "family": "ipv4", "proto": "tcp", "zone": 0,
            "orig": {"src": "10.0.0.1", "dst": "10.0.0.2", "sport": 40000, "dport": 80},
            "reply": {"src": "10.0.0.3", "dst": "10.0.0.1", "sport": 8080, "dport": 40000},
            "nat": ["dnat"],
        });
        let read = event(&record).unwrap().unwrap();
        assert_eq!(read.key.to_string(), "tcp 10.0.0.1:40000>10.0.0.2:80");
        assert_eq!(read.nat, Some(read.key.orig.translated(read.reply)));
        assert_eq!((read.replied, read.mark), (None, None));
        record["reply"]["src"] = json!("no address");
        assert!(event(&record).is_err());
        record["type"] = json!("update");
        assert_eq!(event(&record), Ok(None));
    }
}
