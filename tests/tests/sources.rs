//! conntrack in the testbed's router: connections from before its start, new ones and ended ones, each
//! compared with conntrack-tools' entry of the same connection.

use scenes::oracle;
use scenes::testbed::Testbed;
use scenes::watch::Watch;
use serde_json::Value;

fn count(records: &[Value], kind: &str) -> usize {
    records
        .iter()
        .filter(|record| record["type"] == kind)
        .count()
}

/// Each entry of conntrack-tools has exactly one record of this type, which equals it.
fn check_equal(records: &[Value], kind: &str, entries: &[oracle::Entry]) {
    for entry in entries {
        let ours: Vec<oracle::Entry> = records
            .iter()
            .filter(|record| record["type"] == kind)
            .map(oracle::of_record)
            .filter(|ours| ours.orig == entry.orig && ours.proto == entry.proto)
            .collect();
        assert_eq!(ours.len(), 1, "{kind} records of {entry:?}");
        assert_eq!(ours[0].reply, entry.reply);
        // ctnetlink omits a mark of zero from its events.
        let mark = ours[0].other.get("mark").map_or("0", String::as_str);
        assert_eq!(Some(mark), entry.other.get("mark").map(String::as_str));
    }
}

fn check_load_and_ends(source: &str) {
    let testbed = Testbed::up();
    let router = testbed.namespace("router");
    let netns = testbed.inode("router");
    let _server = testbed.serve();
    let ends = [
        "tcp:10.96.0.10:80",
        "udp:10.96.0.10:53",
        "udp:[fd77:96::10]:53",
    ];
    for end in ends {
        let _ = testbed.call(end);
    }
    let before = oracle::entries(&router);
    assert_eq!(before.len(), ends.len());

    // Programs see every namespace, and other tests have testbeds with the same addresses.
    let is = |kind: &'static str| {
        move |record: &Value| record["type"] == kind && record["netns"] == netns
    };
    let mut watch = Watch::start(Some(&router), &["--source", source]);
    watch.wait_for("loaded connections", ends.len(), is("dump"));

    // Another packet on an old connection makes no record; another connection does.
    let _ = testbed.call("tcp:[fd77:96::10]:80");
    watch.wait_for("beginning", 1, is("new"));
    let after = oracle::entries(&router);
    let new: Vec<oracle::Entry> = after
        .into_iter()
        .filter(|entry| !before.iter().any(|known| known.orig == entry.orig))
        .collect();
    assert_eq!(new.len(), 1);

    // The kernel reports no end of connections from before the start: conntrack finds them by a sweep.
    oracle::flush(&router);
    watch.wait_for("ends", ends.len() + 1, is("destroy"));
    let ended = watch.end();
    let records: Vec<Value> = ended
        .records
        .into_iter()
        .filter(|record| record["netns"] == netns || record["type"] == "loss")
        .collect();
    check_equal(&records, "dump", &before);
    check_equal(&records, "new", &new);
    check_equal(&records, "destroy", &before);
    check_equal(&records, "destroy", &new);
    assert_eq!(count(&records, "loss"), 0, "{records:?}");
}

#[test]
fn netlink_reports_old_new_and_ended_connections() {
    check_load_and_ends("netlink");
}

#[test]
fn the_tracepoint_does_not_report_old_connections_again() {
    check_load_and_ends("tracepoint");
}
