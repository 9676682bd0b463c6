//! From the start to the end: one at a time, nothing left behind, leftovers of a killed one replaced.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use harness::Bpffs;
use harness::Running;
use harness::unique;
use nix::sys::signal::Signal;
use shared::ring::Reader;
use shared::ring::reader;

use super::CONNTRACK;
use super::apart;
use super::conntrack;
use super::refuses;

/// One that runs, by netlink, which needs no offsets.
struct Started {
    running: Running,
    ring: PathBuf,
}

impl Started {
    fn new(args: &[&str]) -> Self {
        let name = unique();
        let mut command = Command::new("sh");
        // Its stdout is the descriptor on which it says that it is ready.
        apart(&mut command)
            .args(["-c", "exec \"$@\" --ready-fd 3 3>&1", "sh", CONNTRACK])
            .args(["--source", "netlink", "--ring", &name])
            .args(args)
            .stdin(Stdio::null());
        let mut running = Running::start(&mut command);
        let ready = running.line();
        let ring = Path::new("/dev/shm").join(name);
        let started = Self { running, ring };
        assert_eq!(ready, "\n", "{args:?} did not become ready");
        started
    }

    fn name(&self) -> String {
        self.ring.display().to_string()
    }

    fn signal(&mut self, signal: Signal) -> Option<i32> {
        self.running.signal(signal);
        self.running.wait().code()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.running.kill();
        let _ = fs::remove_file(&self.ring);
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let bpffs = Bpffs::mount();
    let pin = bpffs.join("table");
    let mut started = Started::new(&["--pin", pin.to_str().unwrap()]);
    // Both arrive before it does anything.
    for signal in [Signal::SIGSTOP, Signal::SIGINT, Signal::SIGTERM] {
        started.running.signal(signal);
    }
    let code = started.signal(Signal::SIGCONT);
    assert!(code == Some(128 + 2) || code == Some(128 + 15), "{code:?}");
    // As after any abrupt end; the next start replaces them.
    assert!(started.ring.exists());
    assert_eq!(bpffs.pins(), ["table"]);
}

#[test]
fn a_device_is_no_file_for_counters() {
    let dir = tempfile::tempdir().unwrap();
    let device = dir.path().join("null");
    let made = Command::new("mknod")
        .arg(&device)
        .args(["c", "1", "3"])
        .status();
    assert!(made.unwrap().success());
    let path = device.to_str().unwrap();
    let source = ["--source", "netlink", "--duration", "0"];
    let output = conntrack(&[&source[..], &["--metrics", path]].concat());
    let said = format!("conntrack: write metrics {path}: not a regular file\n");
    refuses(&output, 3, &said);
    let inode = fs::symlink_metadata(&device).unwrap();
    assert!(inode.file_type().is_char_device());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn it_ends_in_order_and_leaves_nothing_behind() {
    let bpffs = Bpffs::mount();
    let pin = bpffs.join("table");
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut running = Started::new(&["--pin", pin.to_str().unwrap()]);
        let reader = Reader::open(&running.name().parse().unwrap()).unwrap();
        assert_eq!(reader.writer().unwrap(), reader::Writer::Alive);
        let mut pins: Vec<_> = fs::read_dir(&pin).unwrap().flatten().collect();
        pins.sort_by_key(fs::DirEntry::file_name);
        assert_eq!(pins.len(), 2);
        assert_eq!(running.signal(signal), Some(0), "{signal}");
        assert_eq!(reader.writer().unwrap(), reader::Writer::Closed);
        assert!(!running.ring.exists());
        assert_eq!(bpffs.pins(), [""; 0]);
    }
}

#[test]
fn a_second_one_is_refused_and_a_killed_one_replaced() {
    let bpffs = Bpffs::mount();
    let pin = bpffs.join("table");
    let pin = pin.to_str().unwrap();
    let mut first = Started::new(&["--pin", pin]);
    let args = ["--source", "netlink", "--pin", pin];
    let output = conntrack(&args);
    let said = format!("process {} keeps its table in {pin}", first.running.pid());
    refuses(&output, 3, &said);
    let other = bpffs.join("other");
    let args = [
        "--source",
        "netlink",
        "--ring",
        &first.name(),
        "--pin",
        other.to_str().unwrap(),
    ];
    let output = conntrack(&args);
    refuses(
        &output,
        3,
        &format!("is being written by process {}", first.running.pid()),
    );
    assert_eq!(bpffs.pins(), ["table"], "the refused one left nothing");

    first.signal(Signal::SIGKILL);
    assert_eq!(bpffs.pins(), ["table"]);
    let ring = first.name();
    let args = [
        "--source",
        "netlink",
        "--pin",
        pin,
        "--ring",
        &ring,
        "--duration",
        "0",
    ];
    let output = conntrack(&args);
    assert_eq!(output.code, 0, "{}", output.err);
    assert_eq!(bpffs.pins(), [""; 0]);
    assert!(!first.ring.exists());
}

#[test]
fn pins_need_a_bpffs_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let pin = dir.path().join("table").display().to_string();
    let output = conntrack(&["--source", "netlink", "--pin", &pin]);
    refuses(&output, 3, &format!("{pin} is in no bpffs"));
    let output = conntrack(&["--pin", &pin, "--get", "udp,1.2.3.4:5,1.2.3.4:6"]);
    refuses(&output, 3, &format!("no table is pinned in {pin}"));
}

#[test]
fn a_translation_that_is_not_there_is_no() {
    let bpffs = Bpffs::mount();
    let pin = bpffs.join("table");
    let pin = pin.to_str().unwrap();
    let _running = Started::new(&["--pin", pin]);
    for question in [
        "udp,1.2.3.4:5,1.2.3.4:6",
        "tcp,[fd00::1]:5,[fd00::2]:6,4026531840",
    ] {
        let output = conntrack(&["--pin", pin, "--get", question]);
        refuses(&output, 1, "no such connection in the table");
    }
}
