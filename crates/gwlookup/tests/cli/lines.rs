//! Records as lines of JSON: what is taken, what is refused and how that is said.

use std::fs;
use std::io::Write as _;

use netlink::netns::Namespace;
use tempfile::TempDir;

use crate::program::Says as _;
use crate::program::run;
use crate::program::run_with_input;
use crate::program::start;

fn line(id: u64, more: &str) -> String {
    let netns = Namespace::current().unwrap().inum();
    format!(
        r#"{{"type":"new","ts_ns":5,"id":{id},"netns":{netns},"family":"ipv6","proto":"tcp","orig":{{"src":"::1","dst":"::2","sport":1,"dport":2}},"reply":{{"src":"::1","dst":"::1","sport":3,"dport":1}},"nat":["dnat"]{more}}}"#
    )
}

#[test]
fn a_line_keeps_all_it_says_and_gains_its_route() {
    let input = format!(
        "{}\n\n{}",
        line(1, r#","pod":"a","route":{"type":"unicast"}"#),
        line(2, "")
    );
    let finished = run_with_input(&["--input", "-"], input.as_bytes());
    assert_eq!(finished.code, 0, "{finished:?}");
    let records = finished.records();
    assert_eq!(records.len(), 2, "the last line needs no newline");
    assert_eq!(records[0]["pod"], "a");
    let mut expected: serde_json::Value = serde_json::from_str(&line(2, "")).unwrap();
    let route = &records[1]["route"];
    assert_eq!(
        (&route["type"], &route["oif_name"]),
        (&"local".into(), &"lo".into())
    );
    assert_eq!(records[0]["route"], *route, "an old route is replaced");
    expected["route"] = route.clone();
    assert_eq!(records[1], expected);
    assert_eq!(
        finished.err,
        "gwlookup: 2 records: 2 with a route, 0 without; 0 lost\n"
    );
}

#[test]
fn a_bad_line_ends_it_with_its_number_after_the_good_ones() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("records");
    let path = path.to_str().unwrap();
    for (bad, why) in [
        ("{", "column 1: EOF while parsing an object"),
        (
            r#"{"type":"new","ts_ns":1}"#,
            "no original and reply tuple of one family",
        ),
        (
            r#"{"type":"new","ts_ns":-1}"#,
            "invalid value: integer `-1`, expected u64",
        ),
    ] {
        fs::write(path, format!("{}\n{bad}\n{}\n", line(1, ""), line(2, ""))).unwrap();
        let finished = run(&["--input", path]);
        assert_eq!(finished.code, 3);
        assert_eq!(finished.records().len(), 1);
        assert_eq!(finished.err.lines().count(), 1, "{finished:?}");
        let said = format!("gwlookup: {path} line 2: ");
        assert!(finished.err.starts_with(&said), "{finished:?}");
        assert!(finished.err.contains(why), "{finished:?}");
    }
}

#[test]
fn a_line_without_end_is_refused_before_it_fills_the_memory() {
    // Never a newline: only its length can stop this.
    let endless = vec![b' '; 1 << 20];
    run_with_input(&["--input", "-"], &endless)
        .says(3, "standard input line 1: longer than 64 KiB");
    let long = format!(
        "{}\n{}\n",
        line(1, ""),
        line(2, &format!(r#","x":"{}""#, "y".repeat(65_536)))
    );
    let finished = run_with_input(&["--input", "-"], long.as_bytes());
    assert_eq!(finished.records().len(), 1);
    finished.says(3, "standard input line 2: longer than 64 KiB");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    run(&["--input", "/nowhere/records"]).says(
        3,
        "open /nowhere/records: No such file or directory (os error 2)",
    );
    run(&["--input", "/"]).says(3, "read /: Is a directory (os error 21)");
}

#[test]
fn each_line_comes_out_before_the_next_is_waited_for() {
    let mut running = start(&["--input", "-"]);
    let mut stdin = running.child().stdin.take().unwrap();
    for id in 1..=3 {
        writeln!(stdin, "{}", line(id, "")).unwrap();
        let record = running.line();
        assert!(record.contains(&format!("\"id\":{id},")), "{record}");
    }
    drop(stdin);
    assert_eq!(running.finish().code, 0);
}

#[test]
fn a_namespace_that_is_unknown_or_not_found_is_no_route() {
    let known = line(1, "");
    let netns = Namespace::current().unwrap().inum();
    let unknown = known.replace(&format!(r#""netns":{netns},"#), "");
    let gone = known.replace(&format!(r#""netns":{netns},"#), r#""netns":1,"#);
    let input = format!("{unknown}\n{gone}\n{gone}\n");
    let finished = run_with_input(&["--input", "-"], input.as_bytes());
    assert_eq!(finished.code, 0);
    assert!(
        finished
            .records()
            .iter()
            .all(|record| record.get("route").is_none())
    );
    assert_eq!(
        finished.err,
        "gwlookup: 3 records: 0 with a route, \
         3 without (2 namespace not found, 1 namespace unknown); 0 lost\n"
    );
}
