//! Flags, help, and what is refused before anything is looked at.

use crate::program::run;

#[test]
fn wrong_usage_is_one_line_and_status_2() {
    for args in [
        &["--nope"][..],
        &["--count", "0"],
        &["--duration", "-1"],
        &["--wait", "soon"],
        &["-o", "xml"],
        &["--ring", "../x"],
        &["--input", "-", "--ring", "x"],
        &["--input", "-", "--follow"],
        &["--get", "192.0.2.1", "--count", "1"],
        &["--get", "nowhere"],
        &["--get", "192.0.2.1,::1"],
        &["--get", "192.0.2.1,,router"],
        &["records.json"],
    ] {
        let finished = run(args);
        assert_eq!(finished.code, 2, "{args:?}: {finished:?}");
        assert_eq!(finished.out, "", "{args:?}");
        assert_eq!(finished.err.lines().count(), 1, "{args:?}: {finished:?}");
        assert!(finished.err.starts_with("gwlookup: "), "{finished:?}");
    }
}

#[test]
fn help_is_a_page_and_version_a_line() {
    let help = run(&["--help"]);
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    for part in [
        "Usage: gwlookup",
        "--fail-on-loss",
        "Examples:",
        "Exit status",
    ] {
        assert!(help.out.contains(part), "{part}");
    }
    let version = run(&["--version"]);
    assert_eq!(version.code, 0);
    assert!(version.out.starts_with("gwlookup "), "{version:?}");
}
