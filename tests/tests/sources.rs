//! conntrack alone, in the laboratory: what was there before it, what netlink tells, and that at
//! full speed no flow is missing that was not counted as lost.

use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use scenes::lab::Lab;
use scenes::lab::unique;
use scenes::oracle;
use scenes::program::Running;
use scenes::program::in_namespace;
use scenes::program::path;
use scenes::program::run;
use serde_json::Value;
use tempfile::TempDir;

/// Longer than conntrack takes to look for ends that nobody tells it of.
const PATIENCE: Duration = Duration::from_secs(50);

/// A conntrack in the router's namespace that prints its records.
struct Tracker {
    program: Running,
    records: Receiver<Value>,
}

impl Tracker {
    fn start(lab: &Lab, source: &str, flags: &[&str]) -> Self {
        let directory = TempDir::new().expect("a new directory");
        let offsets = directory.path().join("offsets");
        run(std::process::Command::new(path("guesser"))
            .arg("-qo")
            .arg(&offsets));
        let mut command = in_namespace(&lab.namespace("router"), path("conntrack"));
        command
            .arg("--offsets")
            .arg(&offsets)
            .args(["--source", source, "-o", "json", "--ready-fd", "2"])
            .args(flags)
            .env("SEXTANT_RING", unique())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped());
        let mut program = Running::start(&mut command);
        let out = program.output().expect("its output is piped");
        let mut said = BufReader::new(program.errors().expect("its errors are piped"));
        // On the descriptor of its diagnostics, readiness is an empty line.
        let mut line = String::from("?");
        while !line.trim().is_empty() {
            line.clear();
            let read = said.read_line(&mut line).expect("it says text");
            assert!(read > 0, "conntrack ended before it was ready");
        }
        // Programs see every namespace, and other tests have laboratories of the same addresses.
        let netns = lab.inode("router");
        let (sender, records) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let record: Value = serde_json::from_str(&line).expect("a record");
                let is_ours = record["netns"] == netns || record["type"] == "loss";
                if is_ours && sender.send(record).is_err() {
                    return;
                }
            }
        });
        Self { program, records }
    }

    /// Collects records until `enough` of them.
    fn until(&self, mut enough: impl FnMut(&[Value]) -> bool) -> Vec<Value> {
        let mut seen = Vec::new();
        let start = Instant::now();
        while !enough(&seen) {
            let left = PATIENCE.saturating_sub(start.elapsed());
            match self.records.recv_timeout(left) {
                Ok(record) => seen.push(record),
                Err(_) => panic!("not enough among {} records", seen.len()),
            }
        }
        seen
    }

    fn end(mut self) -> Vec<Value> {
        assert!(self.program.stop().success());
        self.records.iter().collect()
    }
}

fn count(records: &[Value], kind: &str) -> usize {
    records
        .iter()
        .filter(|record| record["type"] == kind)
        .count()
}

/// Each entry that conntrack-tools knows has exactly one record of this type, and equals it.
fn check_equal(records: &[Value], kind: &str, entries: &[oracle::Entry]) {
    for entry in entries {
        let ours: Vec<oracle::Entry> = records
            .iter()
            .filter(|record| record["type"] == kind)
            .map(oracle::of_record)
            .filter(|ours| ours.orig == entry.orig && ours.proto == entry.proto)
            .collect();
        assert_eq!(ours.len(), 1, "{kind} records of {entry:?}");
        assert_eq!(ours[0].reply, entry.reply);
        // ctnetlink leaves a mark of zero out of its events, so there it is not known.
        let mark = ours[0].other.get("mark").map_or("0", String::as_str);
        assert_eq!(Some(mark), entry.other.get("mark").map(String::as_str));
    }
}

fn check_load_and_ends(source: &str) {
    let lab = Lab::up();
    let router = lab.namespace("router");
    let _server = lab.serve();
    let ends = [
        "tcp:10.96.0.10:80",
        "udp:10.96.0.10:53",
        "udp:[fd77:96::10]:53",
    ];
    for end in ends {
        let _ = lab.call(end);
    }
    let before = oracle::entries(&router);
    assert_eq!(before.len(), ends.len());

    let tracker = Tracker::start(&lab, source, &[]);
    let loaded = tracker.until(|seen| count(seen, "dump") == ends.len());
    check_equal(&loaded, "dump", &before);

    // One packet more on each would be no news; one connection more is.
    let _ = lab.call("tcp:[fd77:96::10]:80");
    let fresh = tracker.until(|seen| count(seen, "new") == 1);
    let after = oracle::entries(&router);
    let new: Vec<oracle::Entry> = after
        .into_iter()
        .filter(|entry| !before.iter().any(|known| known.orig == entry.orig))
        .collect();
    assert_eq!(new.len(), 1);
    check_equal(&fresh, "new", &new);

    // The end of the new one is told at once, or at the next sweep; of those that were there before,
    // the kernel tells nobody, so they are looked for every half a minute.
    oracle::flush(&router);
    let ended = tracker.until(|seen| count(seen, "destroy") == ends.len() + 1);
    check_equal(&ended, "destroy", &new);
    check_equal(&ended, "destroy", &before);
    let rest = tracker.end();
    assert_eq!(count(&rest, "loss"), 0, "{rest:?}");
}

#[test]
fn netlink_tells_of_what_was_there_what_begins_and_what_ends() {
    check_load_and_ends("netlink");
}

#[test]
fn the_tracepoint_does_not_tell_again_of_what_was_there() {
    check_load_and_ends("tracepoint");
}

#[test]
fn at_full_speed_every_flow_is_told_once_or_counted_as_lost() {
    const FLOWS: usize = 60_000;
    let lab = Lab::up();
    // Room for what others on this machine do meanwhile, for losses are counted for all.
    let flags = ["--no-dump", "-e", "new", "--max-entries", "1000000"];
    let tracker = Tracker::start(&lab, "tracepoint", &flags);
    let mut storm = in_namespace(&lab.namespace("client"), path("traffic"));
    run(storm.args(["flows", "--to", "10.77.4.9", "--count", &FLOWS.to_string()]));
    let records = tracker.end();

    let mut ports: Vec<u64> = records
        .iter()
        .filter(|record| record["orig"]["dst"] == "10.77.4.9")
        .map(|record| record["orig"]["dport"].as_u64().expect("a port"))
        .collect();
    let told = ports.len();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), told, "a flow was told twice");
    let losses: Vec<&Value> = records
        .iter()
        .filter(|record| record["type"] == "loss")
        .collect();
    let lost: u64 = losses
        .iter()
        .map(|record| record["count"].as_u64().expect("a count"))
        .sum();
    assert_eq!(
        told as u64 + lost,
        FLOWS as u64,
        "{told} told, lost: {losses:?}"
    );
}
