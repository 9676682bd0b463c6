//! The differential test, short: what `conntrack` reports of random flows of every kind is what the kernel did.
//! `scripts/differential` is the long one.

use std::process::Command;
use std::time::Duration;

use harness::Running;
use scenes::differential::kinds::KINDS;
use scenes::differential::visible::LIMITS;
use scenes::differential::visible::Limit;

/// Each run takes seconds; only one that hangs takes longer.
const LONG: Duration = Duration::from_secs(240);

fn check(source: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_differential"));
    let command = command.args(["--runs", "2", "--flows", "60", "--source", source]);
    let (status, finished) = Running::start(command).finish_within(LONG);
    let told = format!("{}{}", finished.out, finished.err);
    assert!(status.is_some_and(|status| status.success()), "{told}");
    for seed in 1..=2 {
        let head = format!("{source} seed {seed}: 60 flows of ");
        assert!(told.contains(&head), "{told}");
    }
}

#[test]
fn the_tracepoint_reports_what_the_kernel_did() {
    check("tracepoint");
}

#[test]
fn netlink_reports_what_the_kernel_did() {
    check("netlink");
}

#[test]
fn a_limit_is_of_a_kind_and_once_in_the_table() {
    for (number, limit) in LIMITS.iter().enumerate() {
        assert!(
            KINDS.iter().any(|kind| kind.name == limit.kind),
            "{limit:?}"
        );
        assert!(!limit.because.is_empty(), "{limit:?}");
        let is_same = |other: &&Limit| (other.kind, other.source) == (limit.kind, limit.source);
        assert_eq!(
            LIMITS[number..].iter().filter(is_same).count(),
            1,
            "{limit:?}"
        );
    }
}
