//! conntrack in the router's namespace of the laboratory: what was there before it, what begins and
//! what ends, each against what conntrack-tools says of the same connection.

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

/// Each entry that conntrack-tools knows has exactly one record of this type, and equals it.
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
        // ctnetlink leaves a mark of zero out of its events, so there it is not known.
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

    // Programs see every namespace, and other tests have laboratories of the same addresses.
    let is = |kind: &'static str| {
        move |record: &Value| record["type"] == kind && record["netns"] == netns
    };
    let mut watch = Watch::start(Some(&router), &["--source", source]);
    watch.wait_for("loaded connections", ends.len(), is("dump"));

    // One packet more on each would be no news; one connection more is.
    let _ = testbed.call("tcp:[fd77:96::10]:80");
    watch.wait_for("beginning", 1, is("new"));
    let after = oracle::entries(&router);
    let new: Vec<oracle::Entry> = after
        .into_iter()
        .filter(|entry| !before.iter().any(|known| known.orig == entry.orig))
        .collect();
    assert_eq!(new.len(), 1);

    // The kernel tells nobody of the end of those that were there before: they are looked for.
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
fn netlink_tells_of_what_was_there_what_begins_and_what_ends() {
    check_load_and_ends("netlink");
}

#[test]
fn the_tracepoint_does_not_tell_again_of_what_was_there() {
    check_load_and_ends("tracepoint");
}
