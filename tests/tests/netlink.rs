//! `conntrack --source netlink`: an id for each connection, whatever address and tuple it has, and an exact count
//! of those that find the table full.

use std::collections::HashMap;
use std::collections::HashSet;
use std::net::UdpSocket;
use std::path::Path;

use netlink::netns::Namespace;
use nix::sched::CpuSet;
use nix::sched::sched_setaffinity;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use scenes::oracle;
use scenes::testbed::Testbed;
use scenes::watch::Watch;
use serde_json::Value;

const SINK: &str = "10.77.4.9";
const PORTS: std::ops::Range<u16> = 41_000..41_020;
const LIVES: usize = 8;

fn is_flow(record: &Value, kind: &str) -> bool {
    record["type"] == kind && record["orig"]["dst"] == SINK
}

/// Sends one datagram from each port, on one processor, so that the kernel's allocator gives back what it got.
fn send(client: &Namespace) {
    let sent = client.run(|| {
        let mut first = CpuSet::new();
        first.set(0).expect("a processor");
        sched_setaffinity(Pid::from_raw(0), &first).expect("it is ours");
        for port in PORTS {
            let socket = UdpSocket::bind(("0.0.0.0", port)).expect("a free port");
            assert_eq!(socket.send_to(b"x", (SINK, 514)).expect("it is sent"), 1);
        }
    });
    sent.expect("the client's namespace can be entered");
}

#[test]
fn a_tuple_that_is_reborn_has_another_id() {
    let testbed = Testbed::up();
    let router = testbed.namespace("router");
    let path = format!("/run/netns/{}", testbed.namespace("client"));
    let client = Namespace::open(Path::new(&path)).expect("the client's namespace");
    let mut watch = Watch::start(Some(&router), &["--source", "netlink"]);
    for life in 1..=LIVES {
        let made = PORTS.len() * life;
        send(&client);
        watch.wait_for("beginnings", made, |record| is_flow(record, "new"));
        oracle::flush(&router);
        watch.wait_for("ends", made, |record| is_flow(record, "destroy"));
    }
    let records = watch.end().records;
    let mut alive: HashMap<u64, &Value> = HashMap::new();
    let mut all = HashSet::new();
    for record in &records {
        let id = record["id"].as_u64().expect("an id");
        if record["type"] == "new" {
            assert!(all.insert(id), "the id of another connection: {record}");
            alive.insert(id, &record["orig"]);
        } else {
            assert_eq!(alive.remove(&id), Some(&record["orig"]), "{record}");
        }
    }
    assert_eq!(all.len(), PORTS.len() * LIVES);
    assert!(alive.is_empty());
}

#[test]
fn each_connection_that_finds_the_table_full_is_counted_once_and_never_reported() {
    let testbed = Testbed::up();
    let router = testbed.namespace("router");
    let flags = [
        "--source",
        "netlink",
        "--max-entries",
        "1000",
        "--fail-on-loss",
    ];
    let mut watch = Watch::start(Some(&router), &flags);
    let made = testbed.traffic(&["flows", "--to", SINK, "--count", "3000"]);
    assert!(made.contains(" refused 0 "), "{made}");
    watch.wait_for("beginnings", 1_000, |record| is_flow(record, "new"));
    let lost = |records: &[Value]| {
        let losses = records.iter().filter(|it| it["where"] == "table_full");
        losses
            .map(|it| it["count"].as_u64().expect("a count"))
            .sum::<u64>()
    };
    while lost(&watch.seen) < 2_000 {
        let losses = watch.seen.iter().filter(|it| it["type"] == "loss").count();
        watch.wait_for("losses", losses + 1, |record| record["type"] == "loss");
    }
    oracle::flush(&router);
    watch.wait_for("ends", 1_000, |record| is_flow(record, "destroy"));
    let ended = watch.end();
    assert_eq!(ended.code, 1);
    let summary = "1000 new, 1000 destroy; lost 2000 (table_full)";
    assert!(ended.stderr.contains(summary), "{}", ended.stderr);
    let ids = |kind: &str| {
        let records = ended.records.iter().filter(|record| is_flow(record, kind));
        records
            .map(|it| it["id"].as_u64().expect("an id"))
            .collect::<HashSet<_>>()
    };
    assert_eq!(ids("new").len(), 1_000);
    assert_eq!(ids("new"), ids("destroy"));
}

/// Makes the kernel drop events behind tens of thousands that it has queued, and the ends among the dropped.
#[test]
fn after_lost_events_nothing_is_told_alive_that_has_ended() {
    let testbed = Testbed::up();
    let router = testbed.namespace("router");
    let mut watch = Watch::start(Some(&router), &["--source", "netlink"]);
    watch.running.signal(Signal::SIGSTOP);
    let _ = testbed.traffic(&["flows", "--to", SINK, "--count", "200000"]);
    oracle::flush(&router);
    watch.running.signal(Signal::SIGCONT);
    watch.wait_for("loss", 1, |it| it["where"] == "netlink_overrun");
    watch.wait_for("beginnings", 10_000, |record| is_flow(record, "new"));
    let ids = |records: &[Value], kinds: &[&str]| {
        let told = records.iter().filter(|record| {
            let is_of_kind = |kind: &&str| is_flow(record, kind);
            kinds.iter().any(is_of_kind)
        });
        told.map(|it| it["id"].as_u64().expect("an id"))
            .collect::<HashSet<_>>()
    };
    let begun = |records: &[Value]| ids(records, &["new", "dump"]);
    while begun(&watch.seen).len() > ids(&watch.seen, &["destroy"]).len() {
        let count = begun(&watch.seen).len();
        watch.wait_for("ends", count, |record| is_flow(record, "destroy"));
    }
    // What begins now has room.
    let made = testbed.traffic(&["flows", "--to", SINK, "--count", "50"]);
    assert!(made.contains(" refused 0 "), "{made}");
    oracle::flush(&router);
    let count = begun(&watch.seen).len() + 50;
    watch.wait_for("ends", count, |record| is_flow(record, "destroy"));
    let ended = watch.end();
    let (begun, ends) = (begun(&ended.records), ids(&ended.records, &["destroy"]));
    assert_eq!(begun.len(), count, "{}", ended.stderr);
    assert_eq!(begun, ends);
}
