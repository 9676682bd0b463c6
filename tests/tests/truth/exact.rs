//! Short connections as fast as the machine can, with a table of 1,000 entries: what is reported and what is
//! counted as lost make up what was made, exactly.
//!
//! `SEXTANT_FLOWS=1000000 cargo test -p scenes --test truth exact` makes a million, instead of 20,000.

use std::env;
use std::process::Stdio;
use std::time::Duration;

use harness::Running;
use harness::built;
use harness::in_namespace;
use harness::wait_until;
use nix::sys::signal::Signal;
use scenes::inside;
use scenes::ledger;
use scenes::testbed::Testbed;
use scenes::watch::Watch;

use crate::alone;

const SINK: &str = "10.77.4.9";
/// Longest time to make the connections: only by hand are there many.
const PATIENCE: Duration = Duration::from_secs(300);

fn count() -> u64 {
    let count = env::var("SEXTANT_FLOWS").unwrap_or_else(|_| "20000".into());
    count.parse().expect("SEXTANT_FLOWS is a number")
}

fn check_nothing_is_missing(is_stopped: bool) {
    let _alone = alone();
    let testbed = Testbed::up();
    let router = testbed.namespace("router");
    let netns = testbed.inode("router");
    // The kernel's own table must not be the limit: it forgets each after a second. What reaches the last hook
    // but the kernel's own is a connection.
    inside::write(&router, "net/netfilter/nf_conntrack_udp_timeout", "1");
    inside::rules(
        &router,
        "table inet seen {
            counter made { }
            chain postrouting {
                type filter hook postrouting priority 300
                ct state new ip daddr 10.77.4.0/24 counter name made
            }
        }",
    );
    let flags = ["--source", "tracepoint", "--max-entries", "1000"];
    let mut watch = Watch::start(None, &flags);
    if is_stopped {
        watch.running.signal(Signal::SIGSTOP);
    }
    let asked = count().to_string();
    let mut traffic = in_namespace(&testbed.namespace("client"), built("traffic"));
    traffic.args(["flows", "--to", SINK, "--count", &asked]);
    let (_, made) = Running::start(traffic.stdin(Stdio::null())).finish_within(PATIENCE);
    assert!(made.out.contains(" refused 0 "), "{made:?}");
    let mut made = 0;
    wait_until("the last connection passes the router", || {
        let before = made;
        made = inside::counted(&router, "seen", "made");
        made == before && made > 0
    });
    if is_stopped {
        watch.running.signal(Signal::SIGCONT);
    }
    watch.wait_for("loss", 1, |record| record["where"] == "table_full");
    let ended = watch.end();
    let reported = ledger::connections(&ended.records, netns).len() as u64;
    let places = [
        "table_full",
        "table_refused",
        "ringbuf_full",
        "tuple_busy",
        "read_fault",
    ];
    let lost = places.map(|place| (place, ledger::lost(&ended.records, place)));
    let counted: u64 = lost.iter().map(|(_, count)| count).sum();
    assert_eq!(reported + counted, made, "{reported} reported, {lost:?}");
}

#[test]
fn as_fast_as_possible_all_is_reported_or_counted() {
    check_nothing_is_missing(false);
}

#[test]
fn with_a_stopped_pump_all_is_reported_or_counted() {
    check_nothing_is_missing(true);
}
