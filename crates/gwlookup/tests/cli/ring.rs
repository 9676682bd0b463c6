//! The ring that is read live: that it is waited for, how it may be wrong, what is lost.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::FileExt as _;

use harness::wait_until;
use netlink::netns::Namespace;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use shared::record::Record;
use shared::record::wire::Loss;
use shared::record::wire::address_bytes;
use shared::record::wire::family;
use shared::record::wire::kind;
use shared::record::wire::known;
use shared::ring::RingName;
use shared::ring::Writer;
use shared::ring::layout::ABI_MINOR;
use shared::ring::layout::Source;
use tempfile::TempDir;

use crate::program::Says as _;
use crate::program::run;
use crate::program::start;

/// Smallest ring: 64 slots.
const SMALL_BYTES: u64 = 4096 + 64 * 192;

/// A directory with the name of a ring in it.
pub struct TestRing {
    pub directory: TempDir,
    pub path: String,
}

impl TestRing {
    pub fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("ring").to_str().unwrap().to_owned();
        Self { directory, path }
    }

    pub fn writer(&self) -> Writer {
        let name: RingName = self.path.parse().unwrap();
        Writer::create(&name, SMALL_BYTES, Source::Tracepoint).unwrap()
    }

    /// The state after `kill -9`: the file is unchanged, and no process holds its lock.
    pub fn leftover(&self, number: u64) {
        let mut writer = self.writer();
        writer.push(&loopback(number));
        let bytes = fs::read(&self.path).unwrap();
        drop(writer);
        fs::write(&self.path, bytes).unwrap();
    }
}

/// A connection inside this namespace, which always has a route.
pub fn loopback(number: u64) -> Record {
    let here = address_bytes(IpAddr::from([127, 0, 0, 1]));
    Record {
        ct_id: number,
        r#type: kind::NEW,
        family: family::IPV4,
        proto: 17,
        known: known::NETNS,
        netns_ino: Namespace::current().unwrap().inum(),
        orig_src: here,
        orig_dst: here,
        reply_src: here,
        reply_dst: here,
        orig_sport: 1,
        orig_dport: 2,
        reply_sport: 2,
        reply_dport: 1,
        ..Record::BLANK
    }
}

#[test]
fn a_ring_that_does_not_come_is_waited_for_and_then_missed() {
    let place = TestRing::new();
    run(&["--ring", &place.path, "--wait", "0.1"]).says(
        3,
        &format!(
            "ring {} does not exist, and no writer made one within 0.1 s",
            place.path
        ),
    );
    place.leftover(1);
    run(&["-q", "--ring", &place.path, "--wait", "0"]).says(
        3,
        &format!(
            "ring {} is a leftover of a killed writer, and no writer made one within 0 s",
            place.path
        ),
    );
}

#[test]
fn a_ring_that_comes_late_is_read_from_its_beginning() {
    for leftover in [false, true] {
        let place = TestRing::new();
        if leftover {
            place.leftover(77);
        }
        let mut running = start(&["-v", "--ring", &place.path]);
        running.hears("waiting for ring");
        let mut writer = place.writer();
        for number in 0..3 {
            writer.push(&loopback(number));
        }
        running.hears("reading ring");
        drop(writer);
        let finished = running.finish();
        assert_eq!(finished.code, 0, "{finished:?}");
        let ids: Vec<_> = finished
            .records()
            .iter()
            .map(|record| record["id"].as_u64())
            .collect();
        assert_eq!(ids, [Some(0), Some(1), Some(2)]);
        assert_eq!(finished.records()[0]["route"]["type"], "local");
        assert!(
            finished
                .err
                .ends_with("3 records: 3 with a route, 0 without; 0 lost\n"),
            "{finished:?}"
        );
    }
}

#[test]
fn what_is_no_ring_of_ours_is_refused_at_once() {
    let place = TestRing::new();
    let writer = place.writer();
    let good = fs::read(&place.path).unwrap();
    drop(writer);
    let refused = |bytes: &[u8], patch: Option<(&[u8], u64)>, line: String| {
        fs::write(&place.path, bytes).unwrap();
        if let Some((patch, at)) = patch {
            let file = fs::OpenOptions::new()
                .write(true)
                .open(&place.path)
                .unwrap();
            file.write_all_at(patch, at).unwrap();
        }
        // It would wait longer than this test has patience.
        run(&["--ring", &place.path, "--wait", "600"]).says(3, &line);
    };
    let path = &place.path;
    refused(
        &vec![b'x'; good.len()],
        None,
        format!("{path} is not a ring of this machine"),
    );
    refused(
        &good[..5000],
        None,
        format!("ring {path} is cut short: 5000 of {SMALL_BYTES} bytes"),
    );
    refused(
        &good,
        Some((&[9, 0], 8 + 6)),
        format!("ring {path} has ABI 9.{ABI_MINOR}, this program reads 1.x"),
    );
    refused(
        &good,
        Some((&[1], 24)),
        format!("ring {path} describes another record than this program knows"),
    );
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
    run(&["-q", "--ring", path]).says(3, &format!("{path} is a directory of user 0, not a ring"));
}

#[test]
fn what_was_overwritten_is_a_record_and_counted() {
    const PUSHED: u64 = 1000;
    for fail_on_loss in [false, true] {
        let place = TestRing::new();
        let mut writer = place.writer();
        let mut args = vec!["-v", "--ring", &place.path];
        if fail_on_loss {
            args.push("--fail-on-loss");
        }
        let mut running = start(&args);
        running.hears("reading ring");
        running.signal(Signal::SIGSTOP);
        wait_until_stopped(running.pid());
        writer.push(&Record::loss(1, Loss::RingbufFull, 5));
        for number in 0..PUSHED {
            writer.push(&loopback(number));
        }
        running.signal(Signal::SIGCONT);
        drop(writer);
        let finished = running.finish();
        assert_eq!(finished.code, i32::from(fail_on_loss), "{finished:?}");
        let records = finished.records();
        assert_eq!(records[0]["type"], "loss");
        assert_eq!(records[0]["where"], "ring_overwritten");
        let lost = records[0]["count"].as_u64().unwrap();
        // The writer's own loss record is among what was overwritten.
        assert_eq!(lost + records.len() as u64 - 1, PUSHED + 1);
        assert_eq!(records[1]["id"], lost - 1, "what follows is what is next");
        assert!(
            finished.err.ends_with(&format!("; {lost} lost\n")),
            "{finished:?}"
        );
    }
}

#[test]
fn a_loss_that_the_writer_tells_is_passed_on_and_counted() {
    let place = TestRing::new();
    let mut writer = place.writer();
    writer.push(&Record::loss(1, Loss::RingbufFull, 5));
    writer.push(&loopback(1));
    let args = [
        "--ring",
        &place.path,
        "--count",
        "1",
        "--fail-on-loss",
        "-q",
    ];
    let finished = run(&args);
    assert_eq!((finished.code, finished.err.as_str()), (1, ""));
    let records = finished.records();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["where"], "ringbuf_full");
    assert_eq!(records[0]["count"], 5);
    assert_eq!(records[0].get("route"), None);

    let text = run(&["--ring", &place.path, "--count", "1", "-o", "text"]);
    let lines: Vec<&str> = text.out.lines().collect();
    assert!(lines[0].starts_with("EVENT"), "{text:?}");
    assert_eq!(lines[1], "LOSS    5 lost at ringbuf_full");
    assert!(lines[2].starts_with("new      udp    127.0.0.1:1"));
    drop(writer);
}

#[test]
fn a_record_of_a_newer_version_is_skipped_and_counted() {
    let place = TestRing::new();
    let mut writer = place.writer();
    writer.push(&Record {
        r#type: 99,
        ..loopback(1)
    });
    writer.push(&loopback(2));
    let finished = run(&["--ring", &place.path, "--count", "1"]);
    assert_eq!(finished.code, 0);
    assert_eq!(finished.records().len(), 1);
    assert_eq!(
        finished.err,
        "gwlookup: records of a newer version are skipped\n\
         gwlookup: 1 records: 1 with a route, 0 without; 0 lost; 1 of a newer version skipped\n"
    );
    drop(writer);
}

fn wait_until_stopped(pid: Pid) {
    let stat = format!("/proc/{pid}/stat");
    let is_stopped = || fs::read_to_string(&stat).unwrap().contains(") T ");
    wait_until("it is stopped", is_stopped);
}

#[test]
fn records_of_an_older_writer_have_the_time_that_its_header_gives() {
    for (minor, expected) in [(1, Some(1_000_123)), (ABI_MINOR, None)] {
        let place = TestRing::new();
        let mut writer = place.writer();
        let file = fs::OpenOptions::new()
            .write(true)
            .open(&place.path)
            .unwrap();
        file.write_all_at(&minor.to_ne_bytes(), 8 + 4).unwrap();
        file.write_all_at(&1_000_000_u64.to_ne_bytes(), 72).unwrap();
        writer.push(&Record {
            ts_mono_ns: 123,
            ..loopback(1)
        });
        let mut running = start(&["-v", "--ring", &place.path]);
        running.hears("reading ring");
        drop(writer);
        let records = running.finish().records();
        assert_eq!(records[0]["ts_ns"].as_u64(), expected, "minor {minor}");
    }
}
