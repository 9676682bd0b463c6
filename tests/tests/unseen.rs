//! What a source cannot see, as the README of `conntrack` has it, and that the summary says so: "nothing lost"
//! stands only where every live connection was reported.

use std::net::UdpSocket;
use std::path::Path;

use harness::in_namespace;
use harness::run;
use harness::wait_until;
use netlink::netns::Namespace;
use scenes::oracle;
use scenes::testbed::Testbed;
use scenes::watch::Ended;
use scenes::watch::Watch;
use serde_json::Value;

const SINK: &str = "10.77.4.9";
const ROUTER: &str = "10.77.1.1";
const FLOWS: usize = 5;

fn open(testbed: &Testbed, role: &str) -> Namespace {
    let path = format!("/run/netns/{}", testbed.namespace(role));
    Namespace::open(Path::new(&path)).expect("a namespace of the testbed")
}

/// Sends a datagram to each of a few ports from the client; nobody answers.
fn send(testbed: &Testbed, to: &str) {
    let client = open(testbed, "client");
    let sent = client.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        for port in 0..FLOWS as u16 {
            let sent = socket.send_to(b"x", (to, 9_000 + port));
            assert_eq!(sent.expect("it is sent"), 1);
        }
    });
    sent.expect("the client's namespace can be entered");
}

/// Waits until the kernel has them.
fn wait_for_entries(testbed: &Testbed, to: &str) {
    let router = testbed.namespace("router");
    wait_until("entries in the router", || {
        let entries = oracle::entries(&router);
        let ours = entries.iter().filter(|entry| entry.orig["dst"] == to);
        ours.count() == FLOWS
    });
}

fn is_new(record: &Value, to: &str, netns: u32) -> bool {
    record["type"] == "new" && record["netns"] == netns && record["orig"]["dst"] == to
}

/// The count in the summary; other tests' connections may be among them.
fn unseen(ended: &Ended) -> usize {
    let summary = ended.stderr.lines().last().unwrap_or_default();
    let (before, said) = summary
        .split_once(" out of this source's sight")
        .expect(summary);
    assert!(said.contains("(--help: --source)"), "{summary}");
    assert!(!summary.contains("nothing lost"), "{summary}");
    let words: Vec<&str> = before.split(' ').rev().take(3).collect();
    words[2].parse().expect(summary)
}

/// Sends to an address while each source watches: the tracepoint sees none and counts them, netlink sees all.
fn check_unseen_by_the_tracepoint(testbed: &Testbed, to: &str) {
    let netns = testbed.inode("router");
    let router = testbed.namespace("router");

    let folder = tempfile::tempdir().expect("a folder");
    let metrics = folder.path().join("conntrack.prom");
    let flags = ["--source", "tracepoint", "--metrics"];
    let path = metrics
        .to_str()
        .expect("a temporary folder has a plain name");
    let watch = Watch::start(None, &[&flags[..], &[path]].concat());
    send(testbed, to);
    wait_for_entries(testbed, to);
    let ended = watch.end();
    let seen = ended.records.iter().filter(|it| is_new(it, to, netns));
    assert_eq!(seen.count(), 0);
    let count = unseen(&ended);
    assert!(count >= FLOWS, "{}", ended.stderr);
    let metrics = std::fs::read_to_string(metrics).expect("the counters");
    let line = format!("sextant_conntrack_unseen_total{{source=\"tracepoint\"}} {count}\n");
    assert!(metrics.contains(&line), "{metrics}");

    oracle::flush(&router);
    let mut watch = Watch::start(Some(&router), &["--source", "netlink"]);
    send(testbed, to);
    watch.wait_for("beginnings", FLOWS, |record| is_new(record, to, netns));
}

#[test]
fn inbound_one_way_datagrams_are_unseen_by_the_tracepoint_and_counted() {
    let testbed = Testbed::up();
    let server = open(&testbed, "router").run(|| {
        let bind = |port| UdpSocket::bind((ROUTER, 9_000 + port)).expect("a socket");
        (0..FLOWS as u16).map(bind).collect::<Vec<_>>()
    });
    let _mute = server.expect("the router's namespace can be entered");
    check_unseen_by_the_tracepoint(&testbed, ROUTER);
}

#[test]
fn what_is_redirected_at_egress_is_unseen_by_the_tracepoint_and_counted() {
    let testbed = Testbed::up();
    let router = testbed.namespace("router");
    let redirect = "ip link add aside type veth peer name beside && ip link set aside up &&
        tc qdisc add dev uplink clsact &&
        tc filter add dev uplink egress protocol ip u32 match u32 0 0 \
            action mirred egress redirect dev aside";
    let _ = run(in_namespace(&router, "sh").args(["-c", redirect])).success();
    check_unseen_by_the_tracepoint(&testbed, SINK);
}

#[test]
fn netlink_counts_the_connections_of_other_namespaces() {
    let testbed = Testbed::up();
    let client = testbed.namespace("client");
    let watch = Watch::start(Some(&client), &["--source", "netlink"]);
    send(&testbed, SINK);
    wait_for_entries(&testbed, SINK);
    let ended = watch.end();
    assert_eq!(ended.records.len(), 0, "{:?}", ended.records);
    assert!(unseen(&ended) >= FLOWS, "{}", ended.stderr);
    // A process may hide from root, but not that it is in the namespace of this test.
    let hides = ended.stderr.contains("may not be looked at");
    assert!(!hides, "{}", ended.stderr);
}

#[test]
fn without_the_load_nothing_is_said_of_what_was_not_seen() {
    let testbed = Testbed::up();
    let watch = Watch::start(None, &["--source", "tracepoint", "--no-dump"]);
    send(&testbed, SINK);
    let ended = watch.end();
    let text = "nobody looked for connections out of sight: --no-dump";
    assert!(ended.stderr.contains(text), "{}", ended.stderr);
    assert!(!ended.stderr.contains("nothing lost"), "{}", ended.stderr);
}
