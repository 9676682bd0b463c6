//! The whole pipeline on real NATed connections: every record against the testbed as it was
//! built, against conntrack-tools and against iproute2.

use harness::run;
use scenes::oracle;
use scenes::pipeline::Pipeline;
use scenes::testbed::Testbed;
use serde_json::Value;
use serde_json::json;

/// A call, and what its record must have.
struct Call {
    end: &'static str,
    proto: &'static str,
    family: &'static str,
    called: (&'static str, u16),
    real: (&'static str, u16),
    uplink: &'static str,
    gateway: &'static str,
    default: &'static str,
}

const CALLS: [Call; 4] = [
    Call {
        end: "tcp:10.96.0.10:80",
        proto: "tcp",
        family: "ipv4",
        called: ("10.96.0.10", 80),
        real: ("10.77.3.2", 8080),
        uplink: "10.77.2.1",
        gateway: "10.77.2.254",
        default: "0.0.0.0/0",
    },
    Call {
        end: "udp:10.96.0.10:53",
        proto: "udp",
        family: "ipv4",
        called: ("10.96.0.10", 53),
        real: ("10.77.3.2", 5353),
        uplink: "10.77.2.1",
        gateway: "10.77.2.254",
        default: "0.0.0.0/0",
    },
    Call {
        end: "tcp:[fd77:96::10]:80",
        proto: "tcp",
        family: "ipv6",
        called: ("fd77:96::10", 80),
        real: ("fd77:3::2", 8080),
        uplink: "fd77:2::1",
        gateway: "fd77:2::254",
        default: "::/0",
    },
    Call {
        end: "udp:[fd77:96::10]:53",
        proto: "udp",
        family: "ipv6",
        called: ("fd77:96::10", 53),
        real: ("fd77:3::2", 5353),
        uplink: "fd77:2::1",
        gateway: "fd77:2::254",
        default: "::/0",
    },
];

/// Splits `ADDRESS:PORT`, the address perhaps in brackets.
fn address_and_port(text: &str) -> (String, u16) {
    let address: std::net::SocketAddr = text.parse().expect("an address and a port");
    (address.ip().to_string(), address.port())
}

fn is_of(record: &Value, kind: &str, netns: u32, call: &Call, sport: u16) -> bool {
    record["type"] == kind
        && record["netns"] == netns
        && record["proto"] == call.proto
        && record["orig"]["dst"] == call.called.0
        && record["orig"]["sport"] == sport
}

fn check(conntrack_flags: &str) {
    let testbed = Testbed::up();
    let _server = testbed.serve();
    let router = testbed.namespace("router");
    let netns = testbed.inode("router");
    let mut pipeline = Pipeline::start(conntrack_flags);

    let callers: Vec<(String, u16)> = CALLS
        .iter()
        .map(|call| address_and_port(&testbed.call(call.end)))
        .collect();
    let entries = oracle::entries(&router);
    for (call, (client, sport)) in CALLS.iter().zip(&callers) {
        let what = format!("new record of {}", call.end);
        let record = pipeline.record(&what, |record| is_of(record, "new", netns, call, *sport));

        // As the testbed was built.
        assert_eq!(record["family"], call.family);
        assert_eq!(
            record["orig"],
            json!({"src": client, "sport": sport, "dst": call.called.0, "dport": call.called.1})
        );
        assert_eq!(
            record["reply"],
            json!({"src": call.real.0, "sport": call.real.1, "dst": call.uplink, "dport": sport})
        );
        assert_eq!(record["nat"], json!(["snat", "dnat"]));
        assert_eq!(record["route"]["gateway"], call.gateway);
        assert_eq!(record["route"]["oif_name"], "uplink");
        assert_eq!(record["route"]["prefix"], call.default);
        assert_eq!(record["route"]["type"], "unicast");

        // As conntrack-tools lists it.
        let ours = oracle::of_record(&record);
        let theirs = entries
            .iter()
            .find(|entry| entry.orig == ours.orig && entry.proto == ours.proto)
            .unwrap_or_else(|| panic!("conntrack-tools has no {ours:?}"));
        assert_eq!(theirs.reply, ours.reply);
        assert_eq!(theirs.other.get("mark"), ours.other.get("mark"));

        // As iproute2 routes it.
        let route = oracle::route(&router, call.real.0, client, "lan");
        assert_eq!(record["route"]["gateway"], route["gateway"]);
        assert_eq!(record["route"]["oif_name"], route["dev"]);

        // With the namespace: another test's testbed has the same addresses.
        let asked = match call.family {
            "ipv6" => format!("[{client}]:{sport},[{}]:{}", call.called.0, call.called.1),
            _ => format!("{client}:{sport},{}:{}", call.called.0, call.called.1),
        };
        let asked = format!("{},{asked},{netns}", call.proto);
        let translation = run(pipeline.get(&asked).args(["-o", "json"])).json();
        assert_eq!(translation["reply"], record["reply"], "--get {asked}");
    }

    oracle::flush(&router);
    for (call, (_, sport)) in CALLS.iter().zip(&callers) {
        let what = format!("destroy record of {}", call.end);
        let gone = pipeline.record(&what, |record| {
            is_of(record, "destroy", netns, call, *sport)
        });
        let new = pipeline.record(&what, |record| is_of(record, "new", netns, call, *sport));
        assert_eq!(gone["id"], new["id"], "one connection, one id");
        assert_eq!(gone["reply"], new["reply"]);
    }

    let records = pipeline.end();
    for (call, (_, sport)) in CALLS.iter().zip(&callers) {
        for kind in ["new", "destroy"] {
            let count = records
                .iter()
                .filter(|record| is_of(record, kind, netns, call, *sport))
                .count();
            assert_eq!(count, 1, "{kind} records of {}", call.end);
        }
    }
    assert!(
        !records.iter().any(|record| record["type"] == "loss"),
        "nothing was lost"
    );
}

#[test]
fn records_by_tracepoint_have_nat_and_route() {
    check("--source tracepoint");
}

#[test]
fn records_of_the_automatic_source_are_the_same() {
    check("");
}

#[test]
#[should_panic(expected = "conntrack did not become ready")]
fn a_pipeline_with_a_failed_program_is_not_waited_for() {
    let _ = Pipeline::start("--no-such-flag");
}
