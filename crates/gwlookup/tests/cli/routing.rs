//! Routes in a namespace of our own, against what iproute2 says of the same packets. The tests
//! name the incoming interface to iproute2; gwlookup has to find it.

use std::io::Write as _;

use harness::Finished;
use harness::wait_until;
use serde_json::Value;
use serde_json::json;

use crate::program::run;
use crate::program::run_with_input;
use crate::program::start;
use crate::scene::Router;

/// Keys of a route that iproute2 reports too, under its own names.
const KEYS: [(&str, &str); 3] = [
    ("gateway", "gateway"),
    ("oif_name", "dev"),
    ("src", "prefsrc"),
];

fn get(router: &Router, dst: &str, src: &str) -> Finished {
    run(&["--get", &format!("{dst},{src},{}", router.path())])
}

fn record(netns: u32, src: &str, called: &str, real: &str) -> String {
    json!({
        "type": "new", "ts_ns": 1, "netns": netns,
        "orig": {"src": src, "dst": called}, "reply": {"src": real, "dst": "192.0.2.2"},
    })
    .to_string()
        + "\n"
}

/// Compares a route with the answers of `ip route get` and `ip route get fibmatch`.
fn agrees(route: &Value, resolved: &Value, entry: &Value) {
    for (ours, theirs) in KEYS {
        // iproute2 reports a preferred source of the entry that the packet's own overrides.
        let expected = match resolved.get(theirs) {
            None if ours == "src" => entry.get(theirs),
            // A gateway of the other family.
            None if ours == "gateway" => resolved["via"].get("host"),
            found => found,
        };
        assert_eq!(
            route.get(ours),
            expected,
            "{ours}: {route} {resolved} {entry}"
        );
    }
    let kind = resolved.get("type").cloned().unwrap_or("unicast".into());
    assert_eq!(route["type"], kind, "{route} {resolved}");
    let is_v6 = resolved["dst"].as_str().unwrap().contains(':');
    let prefix = match entry["dst"].as_str().unwrap() {
        "default" if is_v6 => "::/0".to_owned(),
        "default" => "0.0.0.0/0".to_owned(),
        host if !host.contains('/') => format!("{host}/{}", if is_v6 { 128 } else { 32 }),
        prefix => prefix.to_owned(),
    };
    assert_eq!(route["prefix"], prefix, "{route} {entry}");
}

#[test]
fn every_kind_of_way_is_what_iproute2_says() {
    let router = Router::new();
    for (dst, src, how) in [
        // From this host, with an address of either uplink or with none.
        ("8.8.8.8", "", ""),
        ("8.8.8.8", "192.0.2.2", "from 192.0.2.2"),
        ("8.8.8.8", "198.51.100.2", "from 198.51.100.2"),
        ("203.0.113.9", "", ""),
        ("203.0.113.200", "", ""),
        ("10.1.0.7", "", ""),
        ("10.1.0.1", "", ""),
        ("192.0.2.255", "", ""),
        ("2001:db8:ffff::8", "", ""),
        ("2001:db8:33::9", "2001:db8:2::2", "from 2001:db8:2::2"),
        ("2001:db8:10::7", "", ""),
        ("::1", "", ""),
        // Through it, in both directions.
        ("8.8.8.8", "10.1.0.7", "from 10.1.0.7 iif lan"),
        ("203.0.113.9", "10.1.0.7", "from 10.1.0.7 iif lan"),
        ("203.0.113.200", "10.1.0.7", "from 10.1.0.7 iif lan"),
        ("10.1.0.7", "8.8.8.8", "from 8.8.8.8 iif up0"),
        ("10.1.0.7", "203.0.113.9", "from 203.0.113.9 iif up1"),
        (
            "2001:db8:ffff::8",
            "2001:db8:10::7",
            "from 2001:db8:10::7 iif lan",
        ),
        (
            "2001:db8:33::9",
            "2001:db8:10::7",
            "from 2001:db8:10::7 iif lan",
        ),
        (
            "2001:db8:10::7",
            "2001:db8:33::9",
            "from 2001:db8:33::9 iif up1",
        ),
        // To it, from outside.
        ("192.0.2.2", "8.8.8.8", "from 8.8.8.8 iif up0"),
        (
            "2001:db8:1::2",
            "2001:db8:ffff::8",
            "from 2001:db8:ffff::8 iif up0",
        ),
    ] {
        let resolved = router.oracle(&format!("{dst} {how}")).unwrap();
        let entry = router.oracle(&format!("fibmatch {dst} {how}")).unwrap();
        let finished = get(&router, dst, src);
        assert_eq!(
            (finished.code, finished.err.as_str()),
            (0, ""),
            "{dst} {how}"
        );
        let answer = &finished.records()[0];
        assert_eq!(answer["netns"], router.inum());
        agrees(&answer["route"], &resolved, &entry);
    }
}

#[test]
fn the_table_is_shown_unless_the_kernel_reports_the_wrong_one() {
    let router = Router::new();
    let table = |dst: &str| {
        get(&router, dst, "").records()[0]["route"]
            .get("table")
            .cloned()
    };
    assert_eq!(table("8.8.8.8"), Some(254.into()));
    assert_eq!(table("2001:db8:ffff::8"), Some(254.into()));
    assert_eq!(table("::1"), Some(255.into()));
    assert_eq!(table("127.0.0.1"), None, "one trie for `local` and `main`");
    router.ip("route add default via 198.51.100.1 table 1000");
    router.ip("rule add to 8.8.4.0/24 lookup 1000");
    assert_eq!(table("8.8.4.4"), Some(1000.into()));
    assert_eq!(
        table("127.0.0.1"),
        Some(255.into()),
        "two, now that there are rules"
    );
}

#[test]
fn routes_without_next_hop_show_their_type() {
    let router = Router::new();
    for (kind, v4, v6) in [
        ("blackhole", "10.66.0.1", "2001:db8:66::1"),
        ("unreachable", "10.67.0.1", "2001:db8:67::1"),
        ("prohibit", "10.68.0.1", "2001:db8:68::1"),
    ] {
        for (dst, src) in [
            (v4, ""),
            (v4, "192.0.2.2"),
            (v4, "10.1.0.7"),
            (v6, ""),
            (v6, "2001:db8:1::2"),
            (v6, "2001:db8:10::7"),
        ] {
            assert_eq!(
                router.oracle(dst),
                None,
                "iproute2 only has an error for {dst}"
            );
            let finished = get(&router, dst, src);
            assert_eq!(
                (finished.code, finished.err.as_str()),
                (0, ""),
                "{dst} {src}"
            );
            assert_eq!(
                finished.records()[0]["route"],
                json!({"type": kind}),
                "{dst} {src}"
            );
        }
    }
}

#[test]
fn no_route_is_an_answer_of_its_own() {
    let router = Router::new();
    for (dst, src) in [
        ("10.69.0.1", ""),
        ("10.69.0.1", "10.1.0.7"),
        ("2001:db8:69::1", "2001:db8:10::7"),
    ] {
        assert_eq!(router.oracle(dst), None);
        let finished = get(&router, dst, src);
        assert_eq!(
            (finished.code, finished.out.as_str()),
            (1, ""),
            "{dst}: {finished:?}"
        );
    }
}

#[test]
fn rules_on_the_source_and_on_the_way_in_are_followed() {
    let router = Router::new();
    router.ip("route add default via 198.51.100.1 table 1000");
    router.ip("rule add from 10.1.0.0/25 iif lan lookup 1000");
    router.ip("rule add from 198.51.100.2 lookup 1000");
    router.ip("-6 route add default via 2001:db8:2::1 table 1000");
    router.ip("-6 rule add from 2001:db8:10::/64 iif lan lookup 1000");
    for (dst, src, gateway) in [
        ("8.8.8.8", "10.1.0.7", "198.51.100.1"),
        ("8.8.8.8", "10.1.0.200", "192.0.2.1"),
        ("8.8.8.8", "198.51.100.2", "198.51.100.1"),
        ("8.8.8.8", "192.0.2.2", "192.0.2.1"),
        ("2001:db8:ffff::8", "2001:db8:10::7", "2001:db8:2::1"),
        ("2001:db8:ffff::8", "2001:db8:1::2", "2001:db8:1::1"),
    ] {
        let route = get(&router, dst, src).records()[0]["route"].clone();
        assert_eq!(route["gateway"], gateway, "{dst} from {src}");
    }
}

#[test]
fn a_source_that_the_kernel_would_not_route_falls_back_to_the_destination_and_says_so() {
    let router = Router::new();
    router.write("net/ipv4/conf/lan/forwarding", "0");
    for src in ["10.1.0.7", "10.69.0.1"] {
        let finished = get(&router, "8.8.8.8", src);
        assert_eq!(finished.code, 0);
        assert_eq!(finished.records()[0]["route"]["gateway"], "192.0.2.1");
        assert!(
            finished.err.contains("by destination alone"),
            "{src}: {finished:?}"
        );
    }
    let input = record(router.inum(), "10.1.0.7", "8.8.8.8", "8.8.8.8");
    let finished = run_with_input(&["--input", "-"], input.as_bytes());
    assert_eq!(
        finished.err,
        "gwlookup: 1 records: 1 with a route (1 by destination alone), 0 without; 0 lost\n"
    );
}

#[test]
fn a_record_is_routed_to_its_real_destination_in_its_own_namespace() {
    let (one, other) = (Router::new(), Router::new());
    other.ip("route replace default via 198.51.100.1");
    let input = [
        // The address that was called is the router's own; NAT sent it to the LAN.
        record(one.inum(), "8.8.8.8", "192.0.2.2", "10.1.0.7"),
        // The same records in two namespaces.
        record(one.inum(), "10.1.0.7", "9.9.9.9", "9.9.9.9"),
        record(other.inum(), "10.1.0.7", "9.9.9.9", "9.9.9.9"),
        record(
            one.inum(),
            "2001:db8:10::7",
            "2001:db8:33::9",
            "2001:db8:33::9",
        ),
        record(one.inum(), "10.1.0.7", "10.69.0.1", "10.69.0.1"),
    ]
    .concat();
    let finished = run_with_input(&["--input", "-"], input.as_bytes());
    assert_eq!(finished.code, 0);
    let records = finished.records();
    let route = |index: usize, key: &str| records[index]["route"].get(key).cloned();
    assert_eq!(route(0, "oif_name"), Some("lan".into()));
    assert_eq!(route(0, "gateway"), None, "on the link");
    assert_eq!(route(0, "prefix"), Some("10.1.0.0/24".into()));
    assert_eq!(route(1, "gateway"), Some("192.0.2.1".into()));
    assert_eq!(route(2, "gateway"), Some("198.51.100.1".into()));
    assert_eq!(route(3, "gateway"), Some("2001:db8:2::1".into()));
    assert_eq!(records[4].get("route"), None);
    assert_eq!(
        finished.err,
        "gwlookup: 5 records: 4 with a route, 1 without (1 no route); 0 lost\n"
    );

    let table = run_with_input(&["--input", "-", "-o", "text"], input.as_bytes());
    let lines: Vec<&str> = table.out.lines().collect();
    assert_eq!(lines.len(), 6, "{table:?}");
    assert!(
        lines[1].contains("on-link") && lines[1].contains(" lan "),
        "{table:?}"
    );
    assert!(lines[5].contains("(no route)"), "{table:?}");
}

#[test]
fn the_name_of_an_interface_cannot_drive_a_terminal() {
    let router = Router::new();
    router.ip("link set lan down");
    router.ip("link set lan name a\u{1b}[31mb");
    router.ip("link set a\u{1b}[31mb up");
    let args = [
        "-o",
        "text",
        "--get",
        &format!("10.1.0.7,,{}", router.path()),
    ];
    let finished = run(&args);
    assert!(finished.out.contains("dev a\\x1b[31mb"), "{finished:?}");
}

/// A socket that is kept for the next record must not keep the namespace for ever: its
/// interfaces, and their other ends elsewhere, would stay.
#[test]
fn a_namespace_that_was_asked_goes_when_it_is_deleted() {
    let elsewhere = Router::new();
    let asked = Router::new();
    let link = format!(
        "link add far type veth peer name near netns {}",
        elsewhere.name()
    );
    asked.ip(&link);
    let mut running = start(&["--input", "-"]);
    let mut stdin = running.child().stdin.take().unwrap();
    let line = record(asked.inum(), "192.0.2.2", "8.8.8.8", "8.8.8.8");
    stdin.write_all(line.as_bytes()).unwrap();
    assert!(running.line().contains("\"gateway\":\"192.0.2.1\""));
    drop(asked);
    wait_until("its interface is gone", || {
        // Records of it that come late must not keep it either.
        stdin.write_all(line.as_bytes()).unwrap();
        running.line();
        !elsewhere.ip("link show").contains("near@")
    });
    drop(stdin);
    assert_eq!(running.finish().code, 0);
}
