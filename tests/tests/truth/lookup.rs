//! `--get` answers with the connection's state of now, also where one tuple is in several zones; and the
//! pinned table holds nothing that the kernel keeps secret.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use harness::conntrack_tools::conntrack;
use harness::run;
use scenes::asked::asked;
use scenes::inside;
use scenes::ledger;
use scenes::testbed::Testbed;
use scenes::watch::Watch;
use serde_json::Value;

use crate::beside_others;

fn check_get_is_never_stale(source: &str) {
    let _others = beside_others();
    let testbed = Testbed::up();
    let _server = testbed.serve();
    let (client, router) = (testbed.namespace("client"), testbed.namespace("router"));
    let netns = testbed.inode("router");
    let place = (source == "netlink").then_some(router.as_str());
    let mut watch = Watch::start(place, &["--source", source]);
    // One after the other, so that no sweep comes to see each of them first.
    for number in 1..=20 {
        let mut stream = inside::tcp(&client, None, "10.96.0.10:80").expect("an answer");
        let port = stream.local_addr().expect("it is bound").port();
        stream.write_all(b"x").expect("it is open");
        stream.read_exact(&mut [0]).expect("an echo");
        if source == "netlink" {
            // Only a program in the kernel keeps the table while the caller waits.
            watch.wait_for("the call", number, |record| {
                record["netns"] == netns && record["type"] == "new"
            });
        }
        let query = format!("tcp,10.77.1.2:{port},10.96.0.10:80");
        let answers = asked(&watch, &query, netns);
        assert_eq!(answers.len(), 1, "{query}: {answers:?}");
        for bit in ["confirmed", "seen_reply", "assured"] {
            assert!(ledger::is(&answers[0], bit), "no {bit}: {}", answers[0]);
        }
    }
    assert_eq!(watch.end().code, 0);
}

#[test]
fn get_knows_of_the_answer_as_soon_as_the_caller_does() {
    check_get_is_never_stale("tracepoint");
}

#[test]
fn get_knows_of_the_answer_as_soon_as_the_caller_does_for_netlink() {
    check_get_is_never_stale("netlink");
}

/// The zone is chosen by the time to live, the backend by the zone.
fn zones(router: &str, backend_of_zone_1: &str) {
    inside::rules(
        router,
        &format!(
            "table ip zones {{
                chain early {{ type filter hook prerouting priority -300; }}
                chain nat {{ type nat hook prerouting priority -110; }}
            }}
            flush table ip zones
            table ip zones {{
                chain early {{
                    ip ttl 51 ct zone set 1
                    ip ttl 52 ct zone set 2
                }}
                chain nat {{
                    ip daddr 10.96.0.50 ct zone vmap {{ 0: goto zone0, 1: goto zone1, 2: goto zone2 }}
                }}
                chain zone0 {{
                    meta l4proto udp dnat to 10.77.4.10
                }}
                chain zone1 {{
                    meta l4proto udp dnat to {backend_of_zone_1}
                }}
                chain zone2 {{
                    meta l4proto udp dnat to 10.77.4.12
                }}
            }}"
        ),
    );
}

/// A query that names no zone is answered by each zone that has the tuple.
#[test]
fn get_answers_each_zone_truly() {
    let _others = beside_others();
    let testbed = Testbed::up();
    let (client, router) = (testbed.namespace("client"), testbed.namespace("router"));
    let netns = testbed.inode("router");
    let mut watch = Watch::start(None, &["--source", "tracepoint"]);
    let socket = inside::udp(&client, "10.77.1.2:46000");
    let send = |hops: u32| {
        socket.set_ttl(hops).expect("a time to live");
        socket.send_to(b"x", "10.96.0.50:514").expect("a way");
    };
    let answered = |watch: &Watch| -> BTreeMap<u64, String> {
        let answers = asked(watch, "udp,10.77.1.2:46000,10.96.0.50:514", netns);
        let count = answers.len();
        let by_zone: BTreeMap<u64, String> = answers
            .iter()
            .map(|answer| {
                let zone = answer["zone"].as_u64().expect("a zone");
                let backend = answer["reply"]["src"].as_str().expect("an address");
                (zone, backend.to_owned())
            })
            .collect();
        assert_eq!(
            by_zone.len(),
            count,
            "one answer for each zone: {answers:?}"
        );
        by_zone
    };
    let expected = |backend_of_zone_1: &str| {
        let backends = ["10.77.4.10", backend_of_zone_1, "10.77.4.12"];
        BTreeMap::from([0, 1, 2].map(|zone: u64| (zone, backends[zone as usize].to_owned())))
    };
    let is_new = |record: &Value| {
        record["netns"] == netns && record["type"] == "new" && record["orig"]["sport"] == 46000
    };

    zones(&router, "10.77.4.11");
    for hops in [60, 51, 52] {
        send(hops);
    }
    watch.wait_for("a connection in each zone", 3, is_new);
    assert_eq!(answered(&watch), expected("10.77.4.11"));

    zones(&router, "10.77.4.13");
    let deleted = conntrack(Some(&router), &["-D", "-w", "1", "-p", "udp"]);
    assert_eq!(deleted.len(), 1, "{deleted:?}");
    send(51);
    watch.wait_for("the next connection in zone 1", 4, is_new);
    assert_eq!(answered(&watch), expected("10.77.4.13"));
    let ended = watch.end();
    assert_eq!(ledger::connections(&ended.records, netns).len(), 4);
}

/// The keys and values of a pinned map, as bytes.
fn dumped(map: &Path) -> Vec<Vec<u8>> {
    let mut bpftool = Command::new("bpftool");
    let dump = run(bpftool.args(["--json", "map", "dump", "pinned"]).arg(map)).json();
    let entries = dump.as_array().expect("a list of entries");
    let bytes = |field: &Value| -> Vec<u8> {
        let bytes = field.as_array().into_iter().flatten();
        bytes
            .map(|byte| {
                let digits = byte.as_str().expect("a byte").trim_start_matches("0x");
                u8::from_str_radix(digits, 16).expect("a byte")
            })
            .collect()
    };
    let fields = |entry: &Value| [bytes(&entry["key"]), bytes(&entry["value"])];
    entries.iter().flat_map(fields).collect()
}

#[test]
fn no_address_of_the_kernel_is_in_the_pinned_maps() {
    let _others = beside_others();
    let testbed = Testbed::up();
    let _server = testbed.serve();
    let netns = testbed.inode("router");
    let mut watch = Watch::start(None, &["--source", "tracepoint"]);
    for end in [
        "tcp:10.96.0.10:80",
        "udp:10.96.0.10:53",
        "udp:[fd77:96::10]:53",
    ] {
        let _ = testbed.call(end);
    }
    watch.wait_for("calls", 3, |record| {
        record["netns"] == netns && record["type"] == "new"
    });
    let mut entries = 0;
    for table in ["flows4", "flows6"] {
        let map = watch.pin().join(table);
        for bytes in dumped(&map) {
            entries += 1;
            // A structure aligns an address to eight bytes, a packed one to four.
            for at in (0..bytes.len().saturating_sub(7)).step_by(4) {
                let word = bytes[at..at + 8].try_into().expect("eight bytes");
                let word = u64::from_ne_bytes(word);
                let is_address = (0xffff_8000_0000_0000..u64::MAX - 4095).contains(&word);
                let shown = map.display();
                assert!(!is_address, "{word:#x} at {at} of an entry of {shown}");
            }
        }
    }
    assert!(
        entries >= 6,
        "three connections, each with a key and a value: {entries}"
    );
}
