//! Protocols without ports: an identifier takes the place of a port, and NAT may rewrite it; GRE without keys
//! has nothing that could be rewritten.

use harness::conntrack_tools::conntrack;
use harness::wait_until;
use scenes::inside;
use scenes::ledger;
use scenes::ledger::Connection;
use scenes::oracle;
use scenes::testbed::Testbed;
use scenes::watch::Watch;
use serde_json::Value;
use serde_json::json;

use crate::beside_others;

const ICMP: u8 = 1;
const GRE: u8 = 47;
const HOST: [u8; 4] = [10, 77, 1, 2];
const OTHER: [u8; 4] = [10, 77, 1, 3];
const SERVER: [u8; 4] = [10, 77, 3, 2];
const SERVICE: [u8; 4] = [10, 96, 0, 40];
/// Not masqueraded, unlike the rest.
const PLAIN: [u8; 4] = [10, 77, 3, 9];

/// An echo request with this identifier.
fn echo(id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let checksum = !(0x0800 + id + 1);
    let [sum_high, sum_low] = checksum.to_be_bytes();
    vec![8, 0, sum_high, sum_low, high, low, 0, 1]
}

/// A GRE header without a key, and some data.
fn tunnelled() -> Vec<u8> {
    let mut payload = vec![0, 0, 8, 0];
    payload.resize(24, 0);
    payload
}

fn up() -> Testbed {
    let testbed = Testbed::up();
    let (client, router) = (testbed.namespace("client"), testbed.namespace("router"));
    inside::ip(&client, "addr add 10.77.1.3/24 dev eth0");
    let server = testbed.namespace("server");
    inside::ip(&server, "addr add 10.77.3.9/32 dev lo");
    inside::ip(&server, "route add 10.77.1.0/24 via 10.77.2.1");
    inside::rules(
        &router,
        "flush ruleset
        table ip nat {
            chain prerouting {
                type nat hook prerouting priority dstnat
                ip daddr 10.96.0.40 dnat to 10.77.3.9
            }
            chain postrouting {
                type nat hook postrouting priority srcnat
                oifname uplink ip daddr 10.77.3.2 masquerade
            }
        }",
    );
    testbed
}

/// What conntrack-tools says of the same connection: the identifier of each direction.
fn identifiers(router: &str, filter: &[&str]) -> Vec<u64> {
    let lines = conntrack(Some(router), &[&["-L", "-p", "icmp"], filter].concat());
    assert_eq!(lines.len(), 1, "{filter:?}: {lines:?}");
    lines[0]
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("id="))
        .map(|id| id.parse().expect("a number"))
        .collect()
}

#[test]
fn an_icmp_identifier_that_a_clash_rewrote_is_snat() {
    let _others = beside_others();
    let testbed = up();
    let router = testbed.namespace("router");
    let netns = testbed.inode("router");
    let client = testbed.namespace("client");
    // For each source: who calls whom by which identifier, whether it is rewritten, and the NAT of the tuples.
    let pings = [
        (HOST, SERVER, 7, false, json!(["snat"])),
        (OTHER, SERVER, 7, true, json!(["snat"])),
        (HOST, SERVICE, 9, false, json!(["dnat"])),
        (HOST, PLAIN, 9, true, json!(["snat"])),
        (OTHER, PLAIN, 9, false, json!([])),
    ];
    for source in ["tracepoint", "netlink"] {
        let mut watch = Watch::start(Some(&router), &["--source", source]);
        for (src, dst, id, ..) in &pings {
            inside::packet(&client, ICMP, *src, *dst, &echo(*id));
        }
        watch.wait_for("pings", 5, |record| {
            record["netns"] == netns && record["type"] == "new"
        });
        let ended = watch.end();
        let connections = ledger::connections(&ended.records, netns);
        assert_eq!(connections.len(), 5, "{source}: {connections:?}");
        for (src, dst, id, is_rewritten, nat) in &pings {
            let [from, to] =
                [src, dst].map(|address| address.map(|byte| byte.to_string()).join("."));
            let is_it = |one: &&Connection| {
                one.began["orig"]["src"] == from && one.began["orig"]["dst"] == to
            };
            let record = &connections
                .iter()
                .find(is_it)
                .expect("a record of each")
                .began;
            let truth = identifiers(&router, &["--orig-src", &from, "--orig-dst", &to]);
            assert_eq!(
                (truth[0], truth[1] != truth[0]),
                (u64::from(*id), *is_rewritten)
            );
            let ours = ["orig", "reply"].map(|name| record[name]["icmp"]["id"].clone());
            assert_eq!(
                Value::from(ours.to_vec()),
                json!(truth),
                "{source}: {record}"
            );
            assert_eq!(&record["nat"], nat, "{source}: {record}");
        }
        oracle::flush(&router);
    }
}

/// Of two tunnels to one server behind one address, the kernel drops the second: it has nothing to tell them
/// apart by.
#[test]
fn gre_without_keys_has_no_ports_and_a_dropped_tunnel_is_no_connection() {
    let _others = beside_others();
    let testbed = up();
    let router = testbed.namespace("router");
    let netns = testbed.inode("router");
    let client = testbed.namespace("client");
    inside::rules(
        &router,
        "table inet seen {
            counter seen { }
            chain prerouting {
                type filter hook prerouting priority 300
                meta l4proto gre counter name seen
            }
        }",
    );
    for source in ["tracepoint", "netlink"] {
        let before = inside::counted(&router, "seen", "seen");
        let mut watch = Watch::start(Some(&router), &["--source", source]);
        inside::packet(&client, GRE, HOST, SERVER, &tunnelled());
        inside::packet(&client, GRE, OTHER, SERVER, &tunnelled());
        // Whatever the router said of the tunnels, it says before this.
        inside::packet(&client, ICMP, HOST, SERVER, &echo(3));
        wait_until("both tunnels reach the router", || {
            inside::counted(&router, "seen", "seen") == before + 2
        });
        let entries = conntrack(Some(&router), &["-L", "-p", "gre"]);
        assert_eq!(entries.len(), 1, "{entries:?}");
        watch.wait_for("the ping", 1, |record| {
            record["netns"] == netns && record["type"] == "new" && record["proto"] == "icmp"
        });
        let ended = watch.end();
        let connections = ledger::connections(&ended.records, netns);
        let tunnels: Vec<&Value> = connections
            .iter()
            .map(|connection| &connection.began)
            .filter(|record| record["proto"] == "gre")
            .collect();
        assert_eq!(tunnels.len(), 1, "{source}: {tunnels:?}");
        assert_eq!(tunnels[0]["nat"], json!(["snat"]), "{source}");
        assert_eq!(
            tunnels[0]["orig"],
            json!({"src": "10.77.1.2", "dst": "10.77.3.2"})
        );
        assert_eq!(
            tunnels[0]["reply"],
            json!({"src": "10.77.3.2", "dst": "10.77.2.1"})
        );
        oracle::flush(&router);
    }
}
