//! Both programs that print a record print the same time, and it is the time at which the connection began.

use std::process::Command;

use harness::Running;
use harness::built;
use harness::run;
use scenes::oracle;
use scenes::pipeline::Pipeline;
use scenes::records::Records;
use scenes::testbed::Testbed;
use scenes::watch::Watch;
use serde_json::Value;
use shared::clock::realtime_ns;

fn check_same(source: &str) {
    let testbed = Testbed::up();
    let router = testbed.namespace("router");
    let netns = testbed.inode("router");
    let _server = testbed.serve();
    let _ = testbed.call("udp:[fd77:96::10]:53");

    let before_ns = realtime_ns().expect("a clock");
    let mut watch = Watch::start(Some(&router), &["--source", source]);
    let mut gwlookup = Command::new(built("gwlookup"));
    gwlookup.args(["-o", "json", "--ring"]).arg(watch.ring());
    let mut viewer = Records::of(Running::start(&mut gwlookup));
    for _ in 0..5 {
        let _ = testbed.call("udp:10.96.0.10:53");
    }
    let is = |kind: &'static str| {
        move |record: &Value| record["type"] == kind && record["netns"] == netns
    };
    for (kind, count) in [("dump", 1), ("new", 5)] {
        watch.wait_for(kind, count, is(kind));
        viewer.wait_for(kind, count, is(kind));
    }
    oracle::flush(&router);
    watch.wait_for("destroy", 6, is("destroy"));
    viewer.wait_for("destroy", 6, is("destroy"));
    let after_ns = realtime_ns().expect("a clock");

    let here = |record: &&Value| record["netns"] == netns;
    let theirs: Vec<Value> = viewer.seen.iter().filter(here).cloned().collect();
    let ended = watch.end();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for record in ended.records.iter().filter(here) {
        let is_same = |other: &&Value| ["id", "type"].iter().all(|key| other[key] == record[key]);
        let same: Vec<&Value> = theirs.iter().filter(is_same).collect();
        assert_eq!(same.len(), 1, "gwlookup's record of {record}");
        assert_eq!(same[0]["ts_ns"], record["ts_ns"], "{record}");
        let ts_ns = record["ts_ns"].as_u64().expect("a time");
        assert!((before_ns..=after_ns).contains(&ts_ns), "{record}");
    }
    assert_eq!(theirs.len(), 12);
}

#[test]
fn a_record_from_a_tracepoint_has_one_time_in_both_programs() {
    check_same("tracepoint");
}

#[test]
fn a_record_from_ctnetlink_has_one_time_in_both_programs() {
    check_same("netlink");
}

/// The answer to `--get` tells how the connection is now.
#[test]
fn an_answer_has_the_time_of_the_question() {
    let testbed = Testbed::up();
    let _server = testbed.serve();
    let mut pipeline = Pipeline::start("--source tracepoint");
    let caller = testbed.call("udp:10.96.0.10:53");
    let netns = testbed.inode("router");
    let _ = pipeline.record("record", |record| {
        record["type"] == "new" && record["netns"] == netns
    });
    let before_ns = realtime_ns().expect("a clock");
    let asked = format!("udp,{caller},10.96.0.10:53,{netns}");
    let answer = run(pipeline.get(&asked).args(["-o", "json"])).json();
    let after_ns = realtime_ns().expect("a clock");
    let ts_ns = answer["ts_ns"].as_u64().expect("a time");
    assert!((before_ns..=after_ns).contains(&ts_ns), "{answer}");
    let _ = pipeline.end();
}
