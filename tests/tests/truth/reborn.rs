//! Reborn is another: a connection that has the tuple of one that has ended, often at the same address in
//! the slab, perhaps with another translation.

use std::net::TcpListener;
use std::net::UdpSocket;
use std::time::Duration;
use std::time::Instant;

use harness::in_namespace;
use harness::run;
use harness::wait_until;
use scenes::asked::asked;
use scenes::inside;
use scenes::ledger;
use scenes::ledger::Connection;
use scenes::oracle;
use scenes::testbed::Testbed;
use scenes::watch::Watch;
use serde_json::Value;

use crate::beside_others;

/// The service that the rules below send to one backend or another.
const SERVICE: &str = "10.96.0.20";
const CLIENT: &str = "10.77.1.2";
const DELETED: [u16; 5] = [41000, 41001, 41002, 41003, 41004];
const FIRST: &str = "10.77.4.1";
const SECOND: &str = "10.77.4.2";

/// From now on, new connections go to this backend, which takes every packet and says nothing.
fn backend(router: &str, address: &str) {
    let rules = format!(
        "table ip service {{
            chain prerouting {{ type nat hook prerouting priority -110; }}
        }}
        flush chain ip service prerouting
        add rule ip service prerouting ip daddr {SERVICE} udp dport 514 dnat to {address}:5514"
    );
    inside::rules(router, &rules);
}

/// One datagram from each port, on one processor.
fn send(client: &str, ports: &[u16]) {
    inside::inside(client, || {
        inside::stay_on(0);
        for port in ports {
            let socket = UdpSocket::bind((CLIENT, *port)).expect("a free port");
            socket.send_to(b"x", (SERVICE, 514)).expect("a way");
        }
    });
}

/// Deletes the connection of this port, on the same processor.
fn delete(router: &str, port: u16) {
    let mut delete = in_namespace(router, "taskset");
    delete.args([
        "-c",
        "0",
        "/usr/sbin/conntrack",
        "-D",
        "-p",
        "udp",
        "--sport",
    ]);
    let _ = run(delete.arg(port.to_string())).success();
}

fn ports_of(records: &[Value], netns: u32) -> Vec<u64> {
    let ours = records.iter().filter(|record| record["netns"] == netns);
    ours.map(|record| record["orig"]["sport"].as_u64().expect("a port"))
        .collect()
}

/// Five connections are deleted by hand and twenty expire; each begins anew. What was reported, and what
/// `--get` answered while the second ones were there.
fn check_both_lives(source: &str, second: &str) {
    let _others = beside_others();
    let testbed = Testbed::up();
    let (client, router) = (testbed.namespace("client"), testbed.namespace("router"));
    let netns = testbed.inode("router");
    let expiring: Vec<u16> = (40_000..40_020).collect();
    let timeout = |seconds: &str| {
        inside::write(&router, "net/netfilter/nf_conntrack_udp_timeout", seconds);
    };
    // In the router itself, ctnetlink would tell the ends; from outside, the source is on its own.
    let place = (source == "netlink").then_some(router.as_str());
    let mut watch = Watch::start(place, &["--source", source]);
    let is = |kind: &'static str| {
        move |record: &Value| record["netns"] == netns && record["type"] == kind
    };

    // Each group is in turn the last to have taken memory, which its next life can then get back.
    timeout("600");
    backend(&router, FIRST);
    send(&client, &DELETED);
    watch.wait_for("first lives", 5, is("new"));
    backend(&router, second);
    for (ended, port) in (1..).zip(DELETED) {
        delete(&router, port);
        if second == FIRST {
            // Between two packets of one tuple nothing shows the tracepoint that one connection was deleted
            // and another began, if memory and translation are the same: only the sweep does.
            watch.wait_for("end of a deleted one", ended, is("destroy"));
        }
        send(&client, &[port]);
    }

    timeout("1");
    backend(&router, FIRST);
    send(&client, &expiring);
    let sent = Instant::now();
    watch.wait_for("second lives of five and first of twenty", 30, is("new"));
    // A look at the kernel's table would remove what has expired: only the clock says when it has.
    wait_until("the time of twenty connections is over", || {
        sent.elapsed() > Duration::from_millis(1_500)
    });
    timeout("600");
    backend(&router, second);
    send(&client, &expiring);

    let entries = oracle::entries(&router);
    assert_eq!(entries.len(), 25, "{entries:?}");
    for entry in &entries {
        assert_eq!(entry.reply["src"], second, "the scene sends to {second}");
    }
    watch.wait_for("second lives", 50, is("new"));
    for port in DELETED.iter().chain(&expiring) {
        let query = format!("udp,{CLIENT}:{port},{SERVICE}:514");
        let answers = asked(&watch, &query, netns);
        assert_eq!(answers.len(), 1, "{query}: {answers:?}");
        assert_eq!(
            answers[0]["reply"]["src"], second,
            "{query}: {}",
            answers[0]
        );
    }
    oracle::flush(&router);
    watch.wait_for("ends", 50, is("destroy"));

    let ended = watch.end();
    let connections = ledger::connections(&ended.records, netns);
    assert_eq!(connections.len(), 50);
    for port in DELETED.iter().chain(&expiring) {
        let lives: Vec<&Connection> = connections
            .iter()
            .filter(|connection| connection.began["orig"]["sport"] == *port)
            .collect();
        let backends: Vec<&Value> = lives
            .iter()
            .map(|life| &life.began["reply"]["src"])
            .collect();
        assert_eq!(backends, [FIRST, second], "{port}");
    }
    check_each_ends_before_the_next(&ended.records, netns);
}

/// Of one tuple, a connection is reported to end before another begins.
fn check_each_ends_before_the_next(records: &[Value], netns: u32) {
    let mut ports = ports_of(records, netns);
    ports.sort_unstable();
    ports.dedup();
    for port in ports {
        let kinds: Vec<&str> = records
            .iter()
            .filter(|record| record["netns"] == netns && record["orig"]["sport"] == port)
            .filter_map(|record| record["type"].as_str())
            .filter(|kind| *kind != "update")
            .collect();
        let alternate = kinds.chunks(2).all(|life| life == ["new", "destroy"]);
        assert!(alternate, "port {port}: {kinds:?}");
    }
}

#[test]
fn reborn_to_another_backend_is_another_connection() {
    check_both_lives("tracepoint", SECOND);
}

#[test]
fn reborn_to_the_same_backend_is_another_connection() {
    check_both_lives("tracepoint", FIRST);
}

#[test]
fn reborn_is_another_connection_for_netlink() {
    check_both_lives("netlink", SECOND);
}

/// The host itself calls again from the same port, within milliseconds. No packet of the host shows that the
/// first connection was answered.
fn check_each_call_from_one_port(source: &str) {
    const CALLER: &str = "10.77.2.1:45000";
    let _others = beside_others();
    let testbed = Testbed::up();
    let (router, server) = (testbed.namespace("router"), testbed.namespace("server"));
    let netns = testbed.inode("router");
    inside::ip(&server, "addr add 10.77.3.3/32 dev lo");
    inside::rules(
        &router,
        "table ip service {
            chain output {
                type nat hook output priority -110
                ip daddr 10.96.0.20 tcp dport 80 dnat to numgen inc mod 2 map { 0: 10.77.3.2, 1: 10.77.3.3 }
            }
        }",
    );
    let doors = ["10.77.3.2:80", "10.77.3.3:80"].map(|door| {
        let listener = inside::inside(&server, || TcpListener::bind(door)).expect("a free port");
        listener.set_nonblocking(true).expect("a flag");
        listener
    });
    let place = (source == "netlink").then_some(router.as_str());
    let mut watch = Watch::start(place, &["--source", source]);
    for number in 0..6 {
        let stream = inside::tcp(&router, Some(CALLER), "10.96.0.20:80").expect("an answer");
        // The backend that received the call is the right one.
        let mut accepted = None;
        wait_until("its turn's backend is called", || {
            accepted = doors[number % 2].accept().ok();
            accepted.is_some()
        });
        let peer = accepted.as_ref().map(|(_, peer)| peer.to_string());
        assert_eq!(peer.as_deref(), Some(CALLER));
        inside::reset(stream);
    }
    let called = |kind: &'static str| {
        move |record: &Value| {
            record["netns"] == netns
                && record["type"] == kind
                && record["orig"]["dst"] == "10.96.0.20"
        }
    };
    watch.wait_for("calls", 6, called("new"));
    oracle::flush(&router);
    watch.wait_for("ends", 6, called("destroy"));
    let ended = watch.end();
    let connections = ledger::connections(&ended.records, netns);
    let backends: Vec<&Value> = connections
        .iter()
        .map(|connection| &connection.began["reply"]["src"])
        .collect();
    let turns = ["10.77.3.2", "10.77.3.3"].repeat(3);
    assert_eq!(backends, turns);
    check_each_ends_before_the_next(&ended.records, netns);
}

#[test]
fn a_tcp_port_that_the_host_reuses_at_once_is_another_connection_each_time() {
    check_each_call_from_one_port("tracepoint");
}

#[test]
fn a_tcp_port_that_the_host_reuses_at_once_is_another_connection_for_netlink() {
    check_each_call_from_one_port("netlink");
}
