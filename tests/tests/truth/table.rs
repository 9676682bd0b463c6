//! A full table counts connections: one that does not fit is one loss, however many packets it has.

use std::net::UdpSocket;

use harness::conntrack_tools::conntrack;
use scenes::inside;
use scenes::ledger;
use scenes::testbed::Testbed;
use scenes::watch::Watch;

use crate::alone;

const FLOWS: usize = 300;
const PACKETS: usize = 5;

/// That many connections, each to an end of its own, and that many packets on each, in turn.
fn make_flows(testbed: &Testbed, end: &str, is_answered: bool) -> Vec<UdpSocket> {
    let client = testbed.namespace("client");
    let sockets: Vec<UdpSocket> = (0..FLOWS)
        .map(|_| {
            let socket = inside::udp(&client, "10.77.1.2:0");
            socket.connect(end).expect("an address");
            socket
        })
        .collect();
    for _ in 0..PACKETS {
        for socket in &sockets {
            socket.send(b"x").expect("a way");
            if is_answered {
                let length = socket.recv(&mut [0; 8]).expect("an echo");
                assert_eq!(length, 1);
            }
        }
    }
    sockets
}

fn check_each_is_reported_or_counted(end: &str, is_answered: bool) {
    let _alone = alone();
    let testbed = Testbed::up();
    let _server = testbed.serve();
    let netns = testbed.inode("router");
    let flags = ["--source", "tracepoint", "--max-entries", "100"];
    let mut watch = Watch::start(None, &flags);
    let sockets = make_flows(&testbed, end, is_answered);
    let truth = conntrack(Some(&testbed.namespace("router")), &["-C"]);
    assert_eq!(truth, [FLOWS.to_string()], "the kernel holds them all");
    watch.wait_for("loss", 1, |record| record["where"] == "table_full");
    let ended = watch.end();
    let reported = ledger::connections(&ended.records, netns).len() as u64;
    let lost = ledger::lost(&ended.records, "table_full");
    assert_eq!(
        reported + lost,
        FLOWS as u64,
        "{reported} reported, {lost} counted"
    );
    assert!(reported <= 100, "{reported} reported");
    drop(sockets);
}

#[test]
fn a_full_table_counts_one_way_connections_and_not_their_packets() {
    check_each_is_reported_or_counted("10.77.4.9:514", false);
}

#[test]
fn a_full_table_counts_answered_connections_and_not_their_packets() {
    check_each_is_reported_or_counted("10.96.0.10:53", true);
}
