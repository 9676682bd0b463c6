//! The ring among other users and careless processes: what is planted under its name, and what is cut away.

use std::fs;
use std::fs::OpenOptions;
use std::os::unix::fs::lchown;
use std::os::unix::fs::symlink;

use harness::need_root;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::program::Says as _;
use crate::program::run;
use crate::program::start;
use crate::ring::TestRing;
use crate::ring::loopback;

/// A user who is neither root nor the reader.
const STRANGER: u32 = 65_533;

#[test]
fn what_is_planted_under_the_name_is_refused_at_once() {
    need_root();
    let place = TestRing::new();
    let path = &place.path;
    mkfifo(path.as_str(), Mode::S_IRWXU).unwrap();
    lchown(path, Some(STRANGER), None).unwrap();
    // It would wait longer than this test has patience.
    let args = ["--ring", path, "--wait", "600"];
    run(&args).says(
        3,
        &format!("{path} is a FIFO of user {STRANGER}, not a ring"),
    );
    fs::remove_file(path).unwrap();

    let other = TestRing::new();
    let mut writer = other.writer();
    writer.push(&loopback(1));
    symlink(&other.path, path).unwrap();
    run(&args).says(
        3,
        &format!("{path} is a symbolic link of user 0, not a ring"),
    );

    lchown(&other.path, Some(STRANGER), None).unwrap();
    let path = &other.path;
    run(&["--ring", path, "--wait", "600"]).says(
        3,
        &format!(
            "ring {path} belongs to user {STRANGER}, neither to root nor to the user of this program"
        ),
    );
}

#[test]
fn a_ring_that_is_cut_while_it_is_read_is_one_line() {
    // How many whole records are left, of which it has printed one.
    for (length, left) in [(0, 1), (4096, 1), (5000, 4), (8192, 21)] {
        let place = TestRing::new();
        let mut writer = place.writer();
        let mut running = start(&["--ring", &place.path]);
        writer.push(&loopback(0));
        writer.ring_doorbell();
        running.line();
        running.signal(Signal::SIGSTOP);
        for number in 1..64 {
            writer.push(&loopback(number));
        }
        let file = OpenOptions::new().write(true).open(&place.path).unwrap();
        file.set_len(length).unwrap();
        running.signal(Signal::SIGCONT);
        let finished = running.finish();
        let ids = finished.records();
        let ids = ids.iter().map(|record| record["id"].as_u64().unwrap());
        // If it had read on before it was stopped, it has more.
        let ids: Vec<u64> = ids.collect();
        let whole: Vec<u64> = (0..ids.len() as u64).collect();
        assert_eq!(ids, whole, "cut to {length}");
        assert!(ids.len() >= left, "cut to {length}: {ids:?}");
        finished.says(
            3,
            &format!(
                "ring {} was cut short or overwritten by another process",
                place.path
            ),
        );
    }
}

#[test]
fn what_was_overwritten_before_it_came_is_no_loss_of_its() {
    let place = TestRing::new();
    let mut writer = place.writer();
    for number in 0..1000 {
        writer.push(&loopback(number));
    }
    let finished = run(&["--ring", &place.path, "--count", "48", "--fail-on-loss"]);
    assert_eq!(finished.code, 0, "{finished:?}");
    let records = finished.records();
    assert_eq!(records.len(), 48);
    assert_eq!(records[0]["id"], 952);
    assert!(finished.err.ends_with("; 0 lost\n"), "{finished:?}");
    drop(writer);
}
