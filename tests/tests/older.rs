//! Connections that are older than `conntrack`, of every namespace: loaded once, their ends reported once, and no
//! namespace kept alive for it.

use std::collections::HashMap;

use harness::Namespace;
use harness::ip;
use harness::wait_until;
use scenes::oracle;
use scenes::testbed::Testbed;
use scenes::watch::Watch;
use serde_json::Value;

const ENDS: [&str; 3] = [
    "tcp:10.96.0.10:80",
    "udp:10.96.0.10:53",
    "udp:[fd77:96::10]:53",
];

fn is(kind: &'static str, netns: u32) -> impl Fn(&Value) -> bool {
    move |record| record["type"] == kind && record["netns"] == netns
}

/// Ids by original tuple; each tuple once.
fn ids(records: &[Value], kind: &'static str, netns: u32) -> HashMap<String, u64> {
    let mut ids = HashMap::new();
    for record in records.iter().filter(|record| is(kind, netns)(record)) {
        let id = record["id"].as_u64().expect("an id");
        let before = ids.insert(record["orig"].to_string(), id);
        assert_eq!(before, None, "{kind} twice: {record}");
    }
    ids
}

/// Makes a few translated connections in its router.
fn connect(testbed: &Testbed) {
    let _server = testbed.serve();
    for end in ENDS {
        let _ = testbed.call(end);
    }
}

#[test]
fn other_namespaces_connections_are_dumped_and_end_once_with_the_same_id() {
    let testbed = Testbed::up();
    connect(&testbed);
    let router = testbed.namespace("router");
    let netns = testbed.inode("router");
    let before = oracle::entries(&router);
    assert_eq!(before.len(), ENDS.len());

    let mut watch = Watch::start(None, &["--source", "tracepoint"]);
    // The load is done before the program says that it is ready.
    let dumped = ids(&watch.seen, "dump", netns);
    assert_eq!(dumped.len(), ENDS.len());
    for entry in &before {
        let mut ours = watch.seen.iter().filter(|it| is("dump", netns)(it));
        let ours = ours.find(|it| {
            let ours = oracle::of_record(it);
            ours.orig == entry.orig && ours.reply == entry.reply
        });
        assert!(ours.is_some_and(|it| it["nat"] != serde_json::json!([])));
    }

    oracle::flush(&router);
    watch.wait_for("ends", ENDS.len(), is("destroy", netns));
    let ended = watch.end();
    assert_eq!(ids(&ended.records, "destroy", netns), dumped);
    assert_eq!(ids(&ended.records, "new", netns).len(), 0);
    for record in ended.records.iter().filter(|it| is("destroy", netns)(it)) {
        // No packet of theirs passed a hook, so nobody knows what they were at the end.
        assert_eq!(record.get("status"), None, "{record}");
        assert_eq!(record.get("mark"), None, "{record}");
    }
}

#[test]
fn a_namespace_that_ends_is_not_kept_and_its_connections_end() {
    let testbed = Testbed::up();
    connect(&testbed);
    // Inode numbers are used again at once, but an interface goes with its peer's namespace.
    let (peer, router) = (Namespace::new(), testbed.namespace("router"));
    let veth = ["type", "veth", "peer", "name", "marker", "netns", &router];
    ip(&[&["link", "add", "peer", "netns", peer.name()], &veth[..]].concat());
    let has_peer = || peer.ip("-brief link").contains("peer");
    assert!(has_peer());

    let netns = testbed.inode("router");
    let mut watch = Watch::start(None, &["--source", "tracepoint"]);
    let dumped = ids(&watch.seen, "dump", netns);
    assert_eq!(dumped.len(), ENDS.len());

    drop(testbed);
    watch.wait_for("ends", ENDS.len(), is("destroy", netns));
    wait_until("the namespace has gone", || !has_peer());
    let ended = watch.end();
    assert_eq!(ids(&ended.records, "destroy", netns), dumped);
}
