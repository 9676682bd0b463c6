//! From the start to the end: one at a time, nothing left behind, leftovers of a killed one replaced.

use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::mount::MntFlags;
use nix::mount::MsFlags;
use nix::mount::mount;
use nix::mount::umount2;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use shared::ring::Reader;
use shared::ring::reader;

use super::apart;
use super::conntrack;
use super::refuses;
use super::ring;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A bpffs of its own.
struct Bpffs(PathBuf);

impl Bpffs {
    fn mount() -> Self {
        let dir = std::env::temp_dir().join(ring());
        fs::create_dir(&dir).unwrap();
        mount(
            Some("bpf"),
            &dir,
            Some("bpf"),
            MsFlags::empty(),
            None::<&str>,
        )
        .unwrap();
        Self(dir)
    }

    fn pins(&self) -> Vec<String> {
        fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            // The kernel's own, for the first bpffs after boot.
            .filter(|name| !name.ends_with(".debug"))
            .collect()
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}

/// One that runs, by netlink, which needs no offsets.
struct Running {
    child: Child,
    ring: PathBuf,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let name = ring();
        let mut command = Command::new("sh");
        apart(&mut command);
        // Its stdout is the descriptor on which it says that it is ready.
        command
            .args(["-c", "exec \"$@\" --ready-fd 3 3>&1 2>/dev/null", "sh"])
            .arg(env!("CARGO_BIN_EXE_conntrack"))
            .args(["--source", "netlink", "--ring", &name])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        let running = Self {
            child,
            ring: Path::new("/dev/shm").join(name),
        };
        assert_eq!(ready, "\n", "{args:?} did not become ready");
        running
    }

    fn name(&self) -> String {
        self.ring.display().to_string()
    }

    fn signal(&mut self, signal: Signal) -> Option<i32> {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.ring);
    }
}

#[test]
fn it_ends_in_order_and_leaves_nothing_behind() {
    let bpffs = Bpffs::mount();
    let pin = bpffs.0.join("table");
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut running = Running::start(&["--pin", pin.to_str().unwrap()]);
        let reader = Reader::open(&running.name().parse().unwrap()).unwrap();
        assert_eq!(reader.writer(), reader::Writer::Alive);
        let mut pins: Vec<_> = fs::read_dir(&pin).unwrap().flatten().collect();
        pins.sort_by_key(fs::DirEntry::file_name);
        assert_eq!(pins.len(), 2);
        assert_eq!(running.signal(signal), Some(0), "{signal}");
        assert_eq!(reader.writer(), reader::Writer::Closed);
        assert!(!running.ring.exists());
        assert_eq!(bpffs.pins(), [""; 0]);
    }
}

#[test]
fn a_second_one_is_refused_and_a_killed_one_replaced() {
    let bpffs = Bpffs::mount();
    let pin = bpffs.0.join("table");
    let pin = pin.to_str().unwrap();
    let mut first = Running::start(&["--pin", pin]);
    let args = ["--source", "netlink", "--pin", pin];
    let output = conntrack(&args).output().unwrap();
    let said = format!("process {} keeps its table in {pin}", first.child.id());
    refuses(&output, 3, &said);
    let other = bpffs.0.join("other");
    let args = [
        "--source",
        "netlink",
        "--ring",
        &first.name(),
        "--pin",
        other.to_str().unwrap(),
    ];
    let output = conntrack(&args).output().unwrap();
    refuses(
        &output,
        3,
        &format!("is being written by process {}", first.child.id()),
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
    let output = conntrack(&args).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(bpffs.pins(), [""; 0]);
    assert!(!first.ring.exists());
}

#[test]
fn pins_need_a_bpffs_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let pin = dir.path().join("table").display().to_string();
    let output = conntrack(&["--source", "netlink", "--pin", &pin])
        .output()
        .unwrap();
    refuses(&output, 3, &format!("{pin} is in no bpffs"));
    let output = conntrack(&["--pin", &pin, "--get", "udp,1.2.3.4:5,1.2.3.4:6"])
        .output()
        .unwrap();
    refuses(&output, 3, &format!("no table is pinned in {pin}"));
}

#[test]
fn a_translation_that_is_not_there_is_no() {
    let bpffs = Bpffs::mount();
    let pin = bpffs.0.join("table");
    let pin = pin.to_str().unwrap();
    let _running = Running::start(&["--pin", pin]);
    for question in [
        "udp,1.2.3.4:5,1.2.3.4:6",
        "tcp,[fd00::1]:5,[fd00::2]:6,4026531840",
    ] {
        let output = conntrack(&["--pin", pin, "--get", question])
            .output()
            .unwrap();
        refuses(&output, 1, "no such connection in the table");
    }
}
