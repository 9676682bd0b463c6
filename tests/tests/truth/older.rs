//! Older than the tool: an established connection of another namespace. None of its packets may open a record,
//! and yet it is there, and ends.

use std::io::Read as _;
use std::io::Write as _;

use scenes::asked::asked;
use scenes::inside;
use scenes::ledger;
use scenes::oracle;
use scenes::testbed::Testbed;
use scenes::watch::Watch;
use serde_json::json;

use crate::beside_others;

#[test]
fn an_established_connection_of_another_namespace_is_loaded_and_its_end_reported() {
    let _others = beside_others();
    let testbed = Testbed::up();
    let _server = testbed.serve();
    let (client, router) = (testbed.namespace("client"), testbed.namespace("router"));
    let netns = testbed.inode("router");
    let mut stream = inside::tcp(&client, None, "10.96.0.10:80").expect("an answer");
    let port = stream.local_addr().expect("it is bound").port();
    let mut echo = || {
        stream.write_all(b"x").expect("it is open");
        stream.read_exact(&mut [0]).expect("an echo");
    };
    echo();
    let entries = oracle::entries(&router);
    assert_eq!(entries.len(), 1, "{entries:?}");

    let mut watch = Watch::start(None, &["--source", "tracepoint"]);
    echo();
    watch.wait_for("the old connection", 1, |record| {
        record["netns"] == netns && ledger::begins(record)
    });
    let query = format!("tcp,10.77.1.2:{port},10.96.0.10:80");
    let answers = asked(&watch, &query, netns);
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(oracle::of_record(&answers[0]).reply, entries[0].reply);

    oracle::flush(&router);
    watch.wait_for("its end", 1, |record| {
        record["netns"] == netns && record["type"] == "destroy"
    });
    let ended = watch.end();
    let connections = ledger::connections(&ended.records, netns);
    assert_eq!(connections.len(), 1, "{connections:?}");
    let began = &connections[0].began;
    assert!(ledger::is(began, "assured"), "{began}");
    assert_eq!(began["nat"], json!(["snat", "dnat"]), "{began}");
    assert_eq!(oracle::of_record(began).reply, entries[0].reply);
    assert!(connections[0].ended.is_some(), "{connections:?}");
}
