//! `conntrack` alone, on real connections: it loses none and reports none twice, at any rate and any speed of
//! its own; and what it does when it must lose some.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use nix::sys::signal::Signal;
use scenes::oracle;
use scenes::testbed::Testbed;
use scenes::watch::Watch;
use serde_json::Value;

/// A tracepoint sees the whole machine: another test's flood may fill the table.
static ALONE: Mutex<()> = Mutex::new(());

const SINK: &str = "10.77.4.9";

/// Makes flows of one packet each through the router, to a sink that drops them.
fn make_flows(testbed: &Testbed, count: usize) {
    let said = testbed.traffic(&["flows", "--to", SINK, "--count", &count.to_string()]);
    assert!(said.contains(" refused 0 "), "{said}");
}

fn is_flow(record: &Value, kind: &str, netns: u32) -> bool {
    record["type"] == kind && record["netns"] == netns && record["orig"]["dst"] == SINK
}

/// Source and destination ports of the records of these types: each pair must come once.
fn ports(records: &[Value], kinds: &[&str], netns: u32) -> HashSet<(u64, u64)> {
    let mut seen = HashSet::new();
    for record in records {
        if kinds.iter().any(|kind| is_flow(record, kind, netns)) {
            let port = |name: &str| record["orig"][name].as_u64().expect("a port");
            let ports = (port("sport"), port("dport"));
            assert!(seen.insert(ports), "reported twice: {record}");
        }
    }
    seen
}

fn lost(records: &[Value], place: &str) -> u64 {
    records
        .iter()
        .filter(|record| record["type"] == "loss" && record["where"] == place)
        .map(|record| record["count"].as_u64().expect("a count"))
        .sum()
}

#[test]
fn ten_thousand_flows_are_ten_thousand_beginnings_and_ends() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let testbed = Testbed::up();
    let netns = testbed.inode("router");
    let mut watch = Watch::start(None, &["--source", "tracepoint"]);
    make_flows(&testbed, 10_000);
    watch.wait_for("beginnings", 10_000, |record| is_flow(record, "new", netns));
    oracle::flush(&testbed.namespace("router"));
    watch.wait_for("ends", 10_000, |record| is_flow(record, "destroy", netns));
    let ended = watch.end();
    assert_eq!(ended.code, 0);
    assert!(ended.stderr.contains("nothing lost"), "{}", ended.stderr);
    let begun = ports(&ended.records, &["new"], netns);
    assert_eq!(begun.len(), 10_000);
    assert_eq!(ports(&ended.records, &["destroy"], netns), begun);
}

#[test]
fn what_a_stopped_reader_cannot_take_is_reported_later() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let testbed = Testbed::up();
    let netns = testbed.inode("router");
    let mut watch = Watch::start(None, &["--source", "tracepoint"]);
    // Twice what the BPF ring buffer holds.
    watch.running.signal(Signal::SIGSTOP);
    make_flows(&testbed, 60_000);
    watch.running.signal(Signal::SIGCONT);
    watch.wait_for("beginnings", 60_000, |record| is_flow(record, "new", netns));
    // Their ends do not fit, either.
    oracle::flush(&testbed.namespace("router"));
    watch.wait_for("ends", 60_000, |record| is_flow(record, "destroy", netns));
    let ended = watch.end();
    assert!(ended.stderr.contains("nothing lost"), "{}", ended.stderr);
    assert_eq!(ports(&ended.records, &["new"], netns).len(), 60_000);
    assert_eq!(ports(&ended.records, &["destroy"], netns).len(), 60_000);
}

#[test]
fn a_full_table_loses_exactly_what_it_counts() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let testbed = Testbed::up();
    let netns = testbed.inode("router");
    let flags = [
        "--source",
        "tracepoint",
        "--max-entries",
        "1000",
        "--nat-only",
        "--fail-on-loss",
    ];
    let mut watch = Watch::start(None, &flags);
    make_flows(&testbed, 3_000);
    watch.wait_for("loss", 1, |record| record["where"] == "table_full");
    watch.settle(Duration::from_millis(1_500));
    let ended = watch.end();
    assert_eq!(ended.code, 1);
    let reported = ports(&ended.records, &["new"], netns).len() as u64;
    assert!(reported <= 1_000, "{reported}");
    assert_eq!(reported + lost(&ended.records, "table_full"), 3_000);
    assert!(ended.stderr.contains("(table_full)"), "{}", ended.stderr);
}

#[test]
fn what_netlink_lost_is_found_by_a_dump() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let testbed = Testbed::up();
    let netns = testbed.inode("router");
    let router = testbed.namespace("router");
    let flags = ["--source", "netlink", "--max-entries", "200000"];
    let mut watch = Watch::start(Some(&router), &flags);
    watch.running.signal(Signal::SIGSTOP);
    // More than fits into any receive buffer.
    make_flows(&testbed, 150_000);
    watch.running.signal(Signal::SIGCONT);
    watch.wait_for("loss", 1, |record| record["where"] == "netlink_overrun");
    let is_reported =
        |record: &Value| is_flow(record, "new", netns) || is_flow(record, "dump", netns);
    watch.wait_for("beginnings", 150_000, is_reported);
    let ended = watch.end();
    assert_eq!(
        ports(&ended.records, &["new", "dump"], netns).len(),
        150_000
    );
    assert!(
        ended
            .records
            .iter()
            .any(|record| is_flow(record, "dump", netns))
    );
}

#[test]
fn connections_from_before_the_start_are_dumped_once_and_their_ends_reported() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let testbed = Testbed::up();
    let netns = testbed.inode("router");
    let router = testbed.namespace("router");
    for source in ["tracepoint", "netlink"] {
        make_flows(&testbed, 500);
        let mut watch = Watch::start(Some(&router), &["--source", source]);
        let before = ports(&watch.seen, &["dump"], netns);
        assert_eq!(before.len(), 500, "{source}");
        assert_eq!(ports(&watch.seen, &["new"], netns).len(), 0);
        let mut undumped = Watch::start(Some(&router), &["--source", source, "--no-dump"]);
        undumped.settle(Duration::from_millis(100));
        assert_eq!(ports(&undumped.end().records, &["dump"], netns).len(), 0);

        oracle::flush(&router);
        watch.wait_for("ends", 500, |record| is_flow(record, "destroy", netns));
        assert_eq!(ports(&watch.seen, &["destroy"], netns), before);
        assert_eq!(watch.end().code, 0);
    }
}

#[test]
fn only_requested_events_are_reported() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let testbed = Testbed::up();
    let netns = testbed.inode("router");
    let flags = ["--source", "tracepoint", "-e", "destroy", "--nat-only"];
    let mut watch = Watch::start(None, &flags);
    make_flows(&testbed, 10);
    oracle::flush(&testbed.namespace("router"));
    watch.wait_for("ends", 10, |record| is_flow(record, "destroy", netns));
    let ended = watch.end();
    // What other namespaces had before the start is loaded, too.
    let mut ours = ended.records.iter().filter(|it| it["netns"] == netns);
    assert!(ours.all(|record| record["type"] == "destroy"));
    assert!(
        ended
            .records
            .iter()
            .all(|record| record["nat"] != serde_json::json!([]))
    );

    let mut counted = Watch::start(None, &["--source", "tracepoint", "--count", "7"]);
    make_flows(&testbed, 20);
    counted.wait_for("records", 7, |_| true);
    let ended = counted.end();
    assert_eq!((ended.code, ended.records.len()), (0, 7));
}
