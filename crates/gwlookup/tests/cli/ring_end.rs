//! How reading the ring ends: with the writer, by a limit, by a signal, or by whoever reads us.

use std::io;
use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use harness::PATIENCE;
use harness::Process;
use harness::Running;
use harness::built;
use nix::sys::signal::Signal;

use crate::program::GWLOOKUP;
use crate::program::Says as _;
use crate::program::run;
use crate::program::start;
use crate::ring::TestRing;
use crate::ring::loopback;

/// A process that has written three records and only waits for its end.
fn writer_process(place: &TestRing) -> Running {
    let mut command = Command::new(built("examples/write_ring"));
    let mut writer = Running::start(command.arg(&place.path).stdin(Stdio::piped()));
    while !writer.line().contains("written") {}
    writer
}

#[test]
fn a_writer_that_dies_is_reported_after_its_last_record() {
    let place = TestRing::new();
    let mut writer = writer_process(&place);
    let mut running = start(&["--ring", &place.path]);
    for _ in 0..3 {
        running.line();
    }
    let pid = writer.pid();
    writer.kill();
    let finished = running.finish();
    assert_eq!(finished.records().len(), 3);
    finished.says(
        3,
        &format!(
            "ring {}: its writer, process {pid}, died without closing it",
            place.path
        ),
    );
}

#[test]
fn follow_goes_on_with_the_next_writer_however_the_last_one_ended() {
    let place = TestRing::new();
    let mut killed = writer_process(&place);
    let mut running = start(&["-v", "--follow", "--ring", &place.path]);
    for _ in 0..3 {
        running.line();
    }
    killed.kill();
    running.hears("died; waiting for the next");
    for number in [10, 20] {
        let mut writer = place.writer();
        writer.push(&loopback(number));
        writer.ring_doorbell();
        let line = running.line();
        assert!(line.contains(&format!("\"id\":{number},")), "{line}");
        drop(writer);
    }
    running.signal(Signal::SIGTERM);
    let finished = running.finish();
    assert_eq!(finished.code, 0);
    assert_eq!(finished.records().len(), 5, "no record is printed twice");
}

#[test]
fn a_count_and_a_duration_end_it_while_the_writer_lives() {
    let place = TestRing::new();
    let mut writer = place.writer();
    for number in 0..10 {
        writer.push(&loopback(number));
    }
    let counted = run(&["--ring", &place.path, "--count", "4"]);
    assert_eq!((counted.code, counted.records().len()), (0, 4));
    let timed = run(&["--ring", &place.path, "--duration", "1"]);
    assert_eq!((timed.code, timed.records().len()), (0, 10));
    assert!(timed.err.contains("10 records: 10 with a route"));
    drop(writer);
}

#[test]
fn a_signal_ends_it_in_order_whether_it_reads_or_waits() {
    let place = TestRing::new();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut waiting = start(&["-v", "--ring", &place.path]);
        waiting.hears("waiting for ring");
        waiting.signal(signal);
        let finished = waiting.finish();
        assert_eq!(finished.code, 0, "{finished:?}");

        let mut writer = place.writer();
        writer.push(&loopback(1));
        let mut reading = start(&["--ring", &place.path]);
        reading.line();
        reading.signal(signal);
        let finished = reading.finish();
        assert_eq!(finished.code, 0);
        assert_eq!(
            finished.err,
            "gwlookup: 1 records: 1 with a route, 0 without; 0 lost\n"
        );
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let place = TestRing::new();
    let mut writer = place.writer();
    writer.push(&loopback(0));
    let mut command = Command::new(GWLOOKUP);
    command.args(["--ring", &place.path]).stdout(Stdio::piped());
    let mut process = Process::start(command.stderr(Stdio::piped()));
    let mut first = String::new();
    BufReader::new(process.child().stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    assert!(first.contains("\"id\":0,"));
    // The pipe is closed now; the next line that is flushed finds out.
    for number in 1.. {
        writer.push(&loopback(number));
        writer.ring_doorbell();
        if let Some(status) = process.status() {
            assert_eq!(status.code(), Some(0));
            break;
        }
        assert!(
            u128::from(number) < PATIENCE.as_millis(),
            "does not end: kill it"
        );
        thread::sleep(Duration::from_millis(1));
    }
    let said = io::read_to_string(process.child().stderr.take().unwrap());
    assert_eq!(said.unwrap(), "");
    drop(writer);
}
