//! What is refused is no connection: the answer carries the refused packet's `nf_conn`, which the kernel has
//! not confirmed and never will.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::process::Stdio;

use harness::Namespace;
use harness::Running;
use harness::built;
use harness::in_namespace;
use harness::run;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt;
use scenes::inside;
use scenes::ledger;
use scenes::oracle;
use scenes::testbed::Testbed;
use scenes::watch::Watch;
use serde_json::Value;
use serde_json::json;

use crate::alone;
use crate::beside_others;

/// Every port says no in its own way, on the way through the router and at the router itself. The counter
/// has what conntrack saw.
const FIREWALL: &str = "
    table inet firewall {
        counter seen { }
        chain seen {
            type filter hook prerouting priority 300
            ct state new counter name seen
        }
        chain refuse {
            tcp dport 81 reject with tcp reset
            meta l4proto { tcp, udp } th dport 82 reject
            meta l4proto { tcp, udp } th dport 83 drop
            tcp dport 1000-1199 reject with tcp reset
        }
        chain forward {
            type filter hook forward priority 0
            jump refuse
        }
        chain input {
            type filter hook input priority 0
            jump refuse
        }
        chain output {
            type filter hook output priority 0
            jump refuse
        }
    }";

/// The server and the router, by the addresses that the client calls.
const HOSTS: [&str; 4] = ["10.77.3.2", "[fd77:3::2]", "10.77.1.1", "[fd77:1::1]"];
/// No route, and a route that says nothing.
const NOWHERE: [&str; 4] = [
    "10.77.9.1:80",
    "[fd77:9::1]:80",
    "10.77.8.1:80",
    "[fd77:8::1]:80",
];

fn up() -> Testbed {
    let testbed = Testbed::up();
    let router = testbed.namespace("router");
    inside::rules(&router, FIREWALL);
    for route in [
        "route add unreachable 10.77.9.0/24",
        "-6 route add unreachable fd77:9::/64",
        "route add blackhole 10.77.8.0/24",
        "-6 route add blackhole fd77:8::/64",
    ] {
        inside::ip(&router, route);
    }
    testbed
}

fn any_of(end: &str) -> &'static str {
    if end.starts_with('[') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    }
}

/// Two datagrams of one socket, so that the second finds what the first has left.
fn datagrams(socket: &UdpSocket, end: &str) {
    socket.connect(end).expect("an address");
    for _ in 0..2 {
        // The answer to the first may be returned here.
        let _ = socket.send(b"x");
    }
}

fn hear_refusal(namespace: &str, end: &str) {
    let refusal = inside::tcp(namespace, None, end).expect_err(end);
    let kinds = [ErrorKind::ConnectionRefused, ErrorKind::HostUnreachable];
    assert!(kinds.contains(&refusal.kind()), "{end}: {refusal}");
}

/// Is refused in every way there is; how many attempts conntrack must have seen.
fn knock_everywhere(testbed: &Testbed) -> u64 {
    let client = testbed.namespace("client");
    let router = testbed.namespace("router");
    let mut attempts = 0;
    for host in HOSTS {
        for port in [81, 82] {
            hear_refusal(&client, &format!("{host}:{port}"));
            attempts += 1;
        }
        let _ = inside::knock(&client, &format!("{host}:83"));
        for port in [82, 83] {
            let end = format!("{host}:{port}");
            datagrams(&inside::udp(&client, any_of(&end)), &end);
        }
        attempts += 3;
    }
    for host in &HOSTS[..2] {
        let end = format!("{host}:33434");
        let socket = inside::udp(&client, any_of(&end));
        if any_of(&end).contains("::") {
            setsockopt(&socket, sockopt::Ipv6Ttl, &1).expect("a hop limit");
        } else {
            setsockopt(&socket, sockopt::Ipv4Ttl, &1).expect("a time to live");
        }
        datagrams(&socket, &end);
        attempts += 1;
        // The router's own attempts do not even leave it.
        hear_refusal(&router, &format!("{host}:81"));
    }
    for end in NOWHERE {
        let _ = inside::knock(&client, end);
        datagrams(&inside::udp(&client, any_of(end)), end);
        attempts += 2;
    }
    attempts
}

/// The one connection that there is, besides all that was refused.
fn check_only_the_call_is_reported(source: &str) {
    let _others = beside_others();
    let testbed = up();
    let _server = testbed.serve();
    let router = testbed.namespace("router");
    let netns = testbed.inode("router");
    let mut watch = Watch::start(Some(&router), &["--source", source]);
    let attempts = knock_everywhere(&testbed);
    let called = testbed.call("tcp:10.96.0.10:80");
    let seen = inside::counted(&router, "firewall", "seen");
    assert!(seen > attempts, "{seen} of {attempts} and the call");
    let entries = oracle::entries(&router);
    assert_eq!(entries.len(), 1, "{entries:?}");

    watch.wait_for("the call", 1, |record| {
        record["netns"] == netns && record["orig"]["dst"] == "10.96.0.10"
    });
    let ended = watch.end();
    for record in ended
        .records
        .iter()
        .filter(|record| record["netns"] == netns)
    {
        let caller = ledger::end_of(record, "orig", "src");
        assert_eq!(caller, called, "never a connection: {record}");
    }
    let connections = ledger::connections(&ended.records, netns);
    assert_eq!(connections.len(), 1, "{connections:?}");
    assert_eq!(
        oracle::of_record(&connections[0].began).reply,
        entries[0].reply
    );
}

#[test]
fn refused_is_no_connection() {
    check_only_the_call_is_reported("tracepoint");
}

#[test]
fn refused_is_no_connection_for_netlink() {
    check_only_the_call_is_reported("netlink");
}

/// The kernel holds nothing of a scan, so the scan takes no room in the table.
#[test]
fn a_refused_port_scan_fills_no_table() {
    let _alone = alone();
    let testbed = up();
    let _server = testbed.serve();
    let client = testbed.namespace("client");
    let netns = testbed.inode("router");
    let flags = ["--source", "tracepoint", "--max-entries", "150"];
    let mut watch = Watch::start(None, &flags);
    for port in 1000..1200 {
        hear_refusal(&client, &format!("10.77.3.2:{port}"));
    }
    let _ = testbed.call("tcp:10.96.0.10:80");
    watch.wait_for("the call, or its loss", 1, |record| {
        let is_call = record["netns"] == netns && record["orig"]["dst"] == "10.96.0.10";
        is_call || record["where"] == "table_full"
    });
    let ended = watch.end();
    assert_eq!(ledger::lost(&ended.records, "table_full"), 0);
    let connections = ledger::connections(&ended.records, netns);
    assert_eq!(connections.len(), 1, "{connections:?}");
}

/// Two containers on one bridge, whose host filters bridged packets, too. One calls the other directly, and by
/// a service: that packet is queued on the bridge before the last hook has translated its source.
#[test]
fn a_call_on_a_bridge_is_reported_once_and_fully_translated() {
    let _others = beside_others();
    let (host, caller, callee) = (Namespace::new(), Namespace::new(), Namespace::new());
    for line in [
        "link set lo up",
        // Without snooping, the bridge itself calls nobody.
        "link add br0 type bridge nf_call_iptables 1 mcast_snooping 0",
        "addr add 10.5.0.1/24 dev br0",
        "link set br0 up",
    ] {
        host.ip(line);
    }
    for (container, address, port) in [
        (&caller, "10.5.0.2", "port1"),
        (&callee, "10.5.0.3", "port2"),
    ] {
        let name = host.name();
        let peer = format!("link add eth0 type veth peer name {port} netns {name}");
        container.ip(&peer);
        container.ip(&format!("addr add {address}/24 dev eth0"));
        container.ip("link set eth0 up");
        container.ip("route add default via 10.5.0.1");
        host.ip(&format!("link set {port} master br0"));
        host.ip(&format!("link set {port} type bridge_slave hairpin on"));
        host.ip(&format!("link set {port} up"));
    }
    host.write("net/ipv4/ip_forward", "1");
    inside::rules(
        host.name(),
        "table ip nat {
            chain prerouting {
                type nat hook prerouting priority dstnat
                ip daddr 10.96.0.10 udp dport 53 dnat to 10.5.0.3:5353
                ip daddr 10.96.0.10 tcp dport 80 dnat to 10.5.0.3:8080
            }
            chain postrouting {
                type nat hook postrouting priority srcnat
                ct status dnat ip daddr 10.5.0.0/24 masquerade
            }
        }",
    );
    let mut serve = in_namespace(callee.name(), built("traffic"));
    serve.args(["serve", "udp:10.5.0.3:5353", "tcp:10.5.0.3:8080"]);
    let mut server = Running::start(serve.stdin(Stdio::piped()));
    assert_eq!(server.line(), "ready\n");

    let mut watch = Watch::start(None, &["--source", "tracepoint"]);
    for end in [
        "udp:10.96.0.10:53",
        "tcp:10.96.0.10:80",
        "udp:10.5.0.3:5353",
    ] {
        let mut call = in_namespace(caller.name(), built("traffic"));
        let _ = run(call.args(["call", end])).success();
    }
    let entries = oracle::entries(host.name());
    assert_eq!(entries.len(), 3, "{entries:?}");
    let netns = host.inum();
    watch.wait_for("calls", 3, |record| {
        record["type"] == "new" && record["netns"] == netns
    });
    let ended = watch.end();
    let connections = ledger::connections(&ended.records, netns);
    assert_eq!(connections.len(), 3, "{connections:?}");
    for entry in &entries {
        let is_it = |began: &&Value| oracle::of_record(began).orig == entry.orig;
        let mut records = connections.iter().map(|connection| &connection.began);
        let record = records.find(is_it).expect("a record of each call");
        assert_eq!(oracle::of_record(record).reply, entry.reply, "{record}");
        let (source, nat) = if entry.orig["dst"] == "10.5.0.3" {
            ("10.5.0.2", json!([]))
        } else {
            ("10.5.0.1", json!(["snat", "dnat"]))
        };
        assert_eq!(
            entry.reply["dst"], source,
            "the scene masquerades a service's callers"
        );
        assert_eq!(record["nat"], nat, "{record}");
    }
}
