//! `--get` where no namespace of our own is needed.

use crate::program::Says as _;
use crate::program::run;

#[test]
fn loopback_is_local() {
    let finished = run(&["--get", "127.0.0.1"]);
    assert_eq!(
        (finished.code, finished.err.as_str()),
        (0, ""),
        "{finished:?}"
    );
    let answer = &finished.records()[0];
    assert_eq!(answer["dst"], "127.0.0.1");
    assert_eq!(answer["route"]["type"], "local");
    assert_eq!(answer["route"]["oif_name"], "lo");
    assert_eq!(answer["route"].get("gateway"), None);

    let text = run(&["--get", "127.0.0.1,127.0.0.1", "-o", "text"]);
    assert!(
        text.out
            .starts_with("127.0.0.1 from 127.0.0.1 is local dev lo"),
        "{text:?}"
    );
}

#[test]
fn a_namespace_that_is_none_is_named() {
    let nowhere = run(&["--get", "127.0.0.1,,/nowhere"]);
    assert_eq!(nowhere.code, 3);
    assert!(
        nowhere.err.starts_with("gwlookup: open /nowhere: "),
        "{nowhere:?}"
    );
    run(&["--get", "127.0.0.1,,/etc/passwd"]).says(3, "/etc/passwd: not a network namespace");
    let absent = run(&["--get", "127.0.0.1,,1"]);
    assert_eq!((absent.code, absent.out.as_str()), (3, ""));
    assert!(
        absent
            .err
            .starts_with("gwlookup: network namespace 1 not found")
            || absent.err == "gwlookup: no network namespace 1\n",
        "{absent:?}"
    );
}

#[test]
fn an_address_that_needs_an_interface_is_refused() {
    run(&["--get", "fe80::1"]).says(3, "route to fe80::1: destination needs an interface");
}
