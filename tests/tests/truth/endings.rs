//! An end is told as it was: a `destroy` carries the status and the mark that the connection ended with, or
//! it lacks them. What was seen last is not what was at the end.

use std::io::Read as _;
use std::io::Write as _;

use harness::conntrack_tools::conntrack;
use scenes::inside;
use scenes::ledger;
use scenes::testbed::Testbed;
use scenes::watch::Watch;
use serde_json::Value;
use serde_json::json;

use crate::beside_others;

/// Connections that one after the other are answered, marked and deleted: no sweep comes to see each of them
/// between these three.
const COUNT: usize = 20;

fn check_ends(source: &str) {
    let _others = beside_others();
    let testbed = Testbed::up();
    let _server = testbed.serve();
    let (client, router) = (testbed.namespace("client"), testbed.namespace("router"));
    let netns = testbed.inode("router");
    let place = (source == "netlink").then_some(router.as_str());
    let mut watch = Watch::start(place, &["--source", source]);
    for number in 0..COUNT {
        let mut stream = inside::tcp(&client, None, "10.96.0.10:80").expect("an answer");
        let port = stream.local_addr().expect("it is bound").port().to_string();
        stream.write_all(b"x").expect("it is open");
        stream.read_exact(&mut [0]).expect("an echo");
        let mark = (number + 7).to_string();
        let of_port = ["-p", "tcp", "-s", "10.77.1.2", "--sport", &port];
        conntrack(
            Some(&router),
            &[&["-U"], &of_port[..], &["--mark", &mark]].concat(),
        );
        let deleted = conntrack(Some(&router), &[&["-D"], &of_port[..]].concat());
        assert_eq!(deleted.len(), 1, "{deleted:?}");
        for word in [format!("mark={mark}"), "[ASSURED]".to_owned()] {
            assert!(deleted[0].contains(&word), "no {word} in {deleted:?}");
        }
        inside::reset(stream);
    }
    watch.wait_for("ends", COUNT, |record| {
        record["netns"] == netns && record["type"] == "destroy"
    });
    let ended = watch.end();
    let connections = ledger::connections(&ended.records, netns);
    let called = connections
        .iter()
        .filter(|connection| connection.began["orig"]["dst"] == "10.96.0.10");
    let ends: Vec<&Value> = called
        .filter_map(|connection| connection.ended.as_ref())
        .collect();
    assert_eq!(ends.len(), COUNT);
    for (number, end) in ends.iter().enumerate() {
        let mark = end.get("mark");
        assert!(
            mark.is_none_or(|mark| *mark == json!(number + 7)),
            "{number}: {end}"
        );
        let is_true = ledger::is(end, "seen_reply") && ledger::is(end, "assured");
        assert!(end.get("status").is_none() || is_true, "{number}: {end}");
    }
}

#[test]
fn an_end_has_the_status_and_mark_of_the_end_or_none() {
    check_ends("tracepoint");
}

#[test]
fn an_end_has_the_status_and_mark_of_the_end_or_none_for_netlink() {
    check_ends("netlink");
}
