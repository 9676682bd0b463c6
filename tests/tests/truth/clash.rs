//! One tuple, two connections: two datagrams at once from one socket, which NAT sends to two backends. The
//! kernel keeps both, the second under its reply alone, for one second.

use std::fmt::Write as _;
use std::net::UdpSocket;
use std::sync::Barrier;
use std::thread;

use harness::conntrack_tools::conntrack;
use harness::wait_until;
use scenes::inside;
use scenes::ledger;
use scenes::ledger::Connection;
use scenes::oracle;
use scenes::testbed::Testbed;
use scenes::watch::Watch;
use serde_json::Value;

use crate::beside_others;

const SERVICE: &str = "10.96.0.30:53";
const BACKENDS: [&str; 2] = ["10.77.3.2", "10.77.3.3"];
/// Rules between the first hook and the last: the more there are, the longer both datagrams are under way
/// at once.
const RULES: usize = 2_000;

/// Two backends in turn, and a way through the router that takes long.
fn up() -> Testbed {
    let testbed = Testbed::up();
    inside::ip(&testbed.namespace("server"), "addr add 10.77.3.3/32 dev lo");
    let mut rules = String::from(
        "table ip service {
            chain prerouting {
                type nat hook prerouting priority -110
                ip daddr 10.96.0.30 udp dport 53 dnat to numgen inc mod 2 map { 0: 10.77.3.2, 1: 10.77.3.3 }
            }
            chain forward {
                type filter hook forward priority 0\n",
    );
    for number in 0..RULES {
        writeln!(rules, "udp dport {} counter", 10_000 + number).expect("memory");
    }
    rules.push_str("}\n}\n");
    inside::rules(&testbed.namespace("router"), &rules);
    testbed
}

/// Sends a datagram from each of two processors at the same moment.
fn send_twice_at_once(socket: &UdpSocket) {
    let start = Barrier::new(2);
    thread::scope(|scope| {
        for processor in 0..2 {
            let start = &start;
            scope.spawn(move || {
                inside::stay_on(processor);
                start.wait();
                socket.send_to(b"x", SERVICE).expect("a way");
            });
        }
    });
}

/// Ports from which a datagram has arrived, of those that wait at this backend.
fn arrived(backend: &UdpSocket) -> Vec<u16> {
    let mut ports = Vec::new();
    while let Ok((_, peer)) = backend.recv_from(&mut [0; 8]) {
        ports.push(peer.port());
    }
    ports
}

/// Sockets of which each made one connection to each backend, by one tuple: as many as asked for.
fn clash(testbed: &Testbed, count: usize) -> Vec<UdpSocket> {
    let backends = BACKENDS.map(|address| {
        let backend = inside::udp(&testbed.namespace("server"), &format!("{address}:53"));
        backend.set_nonblocking(true).expect("a flag");
        backend
    });
    let client = testbed.namespace("client");
    let mut clashed = Vec::new();
    wait_until("datagrams of one socket reach both backends", || {
        let socket = inside::udp(&client, "10.77.1.2:0");
        send_twice_at_once(&socket);
        let port = socket.local_addr().expect("it is bound").port();
        let mut seen = [Vec::new(), Vec::new()];
        wait_until("both datagrams arrive", || {
            for (seen, backend) in seen.iter_mut().zip(&backends) {
                seen.extend(arrived(backend));
            }
            seen[0].len() + seen[1].len() == 2
        });
        if seen == [[port], [port]] {
            clashed.push(socket);
        }
        clashed.len() == count
    });
    clashed
}

#[test]
fn two_connections_of_one_tuple_are_both_reported() {
    let _others = beside_others();
    let testbed = up();
    let netns = testbed.inode("router");
    let router = testbed.namespace("router");
    let mut watch = Watch::start(None, &["--source", "tracepoint"]);
    let sockets = clash(&testbed, 5);
    let ports: Vec<u16> = sockets
        .iter()
        .map(|socket| socket.local_addr().expect("it is bound").port())
        .collect();
    // The kernel's own list has the winners only; what it did with the others is in its statistics.
    let resolved: u64 = conntrack(Some(&router), &["-S"])
        .iter()
        .flat_map(|line| line.split_whitespace())
        .filter_map(|word| word.strip_prefix("clash_resolve="))
        .map(|count| count.parse::<u64>().expect("a number"))
        .sum();
    assert!(resolved >= 5, "{resolved} of 5 are clashes");

    let is_ours = |record: &Value| {
        let port = record["orig"]["sport"].as_u64();
        record["netns"] == netns && ports.iter().any(|ours| port == Some((*ours).into()))
    };
    let is = |kind: &'static str| move |record: &Value| is_ours(record) && record["type"] == kind;
    watch.wait_for("beginnings", 10, is("new"));
    // Nobody answered: the kernel's patience with the second of each pair is one second, and the first is
    // ended here.
    oracle::flush(&router);
    watch.wait_for("ends", 10, is("destroy"));
    let ended = watch.end();
    // Neither was ended to make room for the other.
    for port in &ports {
        let ours = ended
            .records
            .iter()
            .filter(|record| record["netns"] == netns && record["orig"]["sport"] == *port);
        let kinds: Vec<&Value> = ours.map(|record| &record["type"]).collect();
        assert_eq!(kinds, ["new", "new", "destroy", "destroy"], "port {port}");
    }

    let connections = ledger::connections(&ended.records, netns);
    for port in &ports {
        let pair: Vec<&Connection> = connections
            .iter()
            .filter(|connection| connection.began["orig"]["sport"] == *port)
            .collect();
        assert_eq!(pair.len(), 2, "{pair:?}");
        let mut backends = [0, 1].map(|at| pair[at].began["reply"]["src"].clone());
        backends.sort_by_key(ToString::to_string);
        assert_eq!(backends, BACKENDS);
        let clashed = pair
            .iter()
            .filter(|one| ledger::is(&one.began, "nat_clash"));
        assert_eq!(clashed.count(), 1, "{pair:?}");
        assert!(pair.iter().all(|one| one.ended.is_some()), "{pair:?}");
    }
}
