//! `conntrack` as a black box: bad input, wrong usage, missing privileges, what it leaves behind.
//! Needs root. Events of real connections are tested in the workspace's `tests`, with guesser.

use std::fs;
use std::fs::File;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::mount::MntFlags;
use nix::mount::MsFlags;
use nix::mount::mount;
use nix::mount::umount2;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::sys::statfs::BPF_FS_MAGIC;
use nix::sys::statfs::statfs;
use nix::unistd::Pid;
use shared::kernel::KernelIdentity;
use shared::offsets::Document;
use shared::offsets::Field;
use shared::offsets::FieldResult;
use shared::offsets::Method;
use shared::offsets::Status;
use shared::offsets::codec;
use shared::ring::Reader;
use shared::ring::reader;

const PATIENCE: Duration = Duration::from_secs(20);

/// A ring name that no other test uses.
fn ring() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("sx-cli-{}-{number}", std::process::id())
}

/// Keeps a program away from the settings, the ring and the pins of one that is at work here.
fn apart(command: &mut Command) {
    let ring = ring();
    let bpffs = Path::new("/sys/fs/bpf");
    if statfs(bpffs).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC) {
        command.env("SEXTANT_CONNTRACK_PIN", bpffs.join(&ring));
    }
    command
        .env("SEXTANT_CONFIG", "/dev/null")
        .env("SEXTANT_RING", ring);
}

fn conntrack(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conntrack"));
    apart(&mut command);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs to the end, with these bytes piped into it.
fn feed(args: &[&str], bytes: &[u8]) -> Output {
    let mut child = conntrack(args).stdin(Stdio::piped()).spawn().unwrap();
    // It may refuse before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    child.wait_with_output().unwrap()
}

/// Expects this status and one line on stderr that contains `said`.
fn refuses(output: &Output, status: i32, said: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{stderr}");
    assert!(stderr.contains(said), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(output.stdout.is_empty());
}

/// A document of this kernel in which these fields are proven.
fn document(offsets: &[(Field, u32)]) -> Document {
    let proven = |&(field, offset): &(Field, u32)| FieldResult {
        name: field.path().into(),
        status: Status::Proven,
        offset: Some(offset),
        size: field.size_bytes(),
        method: Some(Method::Guess),
        evidence_bits: Some(60),
        candidates: vec![offset],
        btf_offset: None,
        reason: None,
    };
    Document {
        schema: Document::SCHEMA,
        kernel: KernelIdentity::running().unwrap(),
        elapsed_us: 1,
        fields: offsets.iter().map(proven).collect(),
    }
}

fn bytes(document: &Document) -> Vec<u8> {
    codec::encode(document).unwrap()
}

/// All that is required, at places that hold for no kernel.
fn complete() -> Document {
    document(&[
        (Field::SkBuffNfct, 104),
        (Field::NfConnTupleOrig, 32),
        (Field::NfConnTupleReply, 88),
        (Field::NfConnStatus, 128),
    ])
}

#[test]
fn offsets_that_cannot_be_used_are_refused_and_never_replaced_by_netlink() {
    let whole = bytes(&complete());
    let mut newer = complete();
    newer.schema += 1;
    let mut other_kernel = complete();
    other_kernel.kernel.release = "5.10.0-other".into();
    let mut corrupt = whole.clone();
    *corrupt.last_mut().unwrap() ^= 1;
    let mut lacking = complete();
    lacking
        .fields
        .retain(|found| found.name != "nf_conn.status");
    let mut ambiguous = complete();
    ambiguous.fields[3].status = Status::Ambiguous;
    let mut crooked = complete();
    crooked.fields[3].offset = Some(129);
    for (fed, said) in [
        (Vec::new(), "stdin: no offsets document: the input is empty"),
        (whole[..whole.len() - 1].to_vec(), "cut short"),
        (whole[..10].to_vec(), "cut short"),
        (
            b"#!/bin/sh\nexit 0\n# long enough".to_vec(),
            "not an offsets document",
        ),
        (bytes(&newer), "schema 2, this program reads 1"),
        (vec![0; 1 << 20], "too long"),
        ([whole.clone(), vec![0]].concat(), "too long"),
        (corrupt, "corrupt"),
        (bytes(&other_kernel), "measured on 5.10.0-other"),
        (bytes(&lacking), "no proven nf_conn.status"),
        (bytes(&ambiguous), "no proven nf_conn.status"),
        (bytes(&crooked), "puts nf_conn.status at 129"),
    ] {
        for source in ["auto", "tracepoint"] {
            refuses(&feed(&["--source", source], &fed), 3, said);
        }
    }
    let output = conntrack(&["--offsets", "/no/such/file"]).output().unwrap();
    refuses(&output, 3, "offsets from /no/such/file: No such file");
    let output = conntrack(&["--offsets", "pinned:/no/such/pin"])
        .output()
        .unwrap();
    refuses(&output, 3, "offsets from pinned:/no/such/pin");
}

#[test]
fn offsets_come_from_a_file_or_a_slow_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("offsets");
    fs::write(&path, &bytes(&document(&[]))).unwrap();
    let path = path.display().to_string();
    let output = conntrack(&["--offsets", &path]).output().unwrap();
    refuses(
        &output,
        3,
        &format!("offsets from {path}: the offsets document has no proven"),
    );
    let output = conntrack(&[])
        .stdin(File::open(&path).unwrap())
        .output()
        .unwrap();
    refuses(
        &output,
        3,
        "offsets from stdin: the offsets document has no proven",
    );

    // A document in two parts, the second late: nothing is decided before the writer is done.
    let whole = bytes(&document(&[]));
    let mut child = conntrack(&[]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&whole[..30]).unwrap();
    thread::sleep(Duration::from_millis(100));
    assert!(child.try_wait().unwrap().is_none());
    stdin.write_all(&whole[30..]).unwrap();
    drop(stdin);
    refuses(
        &child.wait_with_output().unwrap(),
        3,
        "no proven sk_buff._nfct",
    );
}

#[test]
fn without_offsets_a_bpf_source_is_refused_and_auto_says_that_it_takes_netlink() {
    for source in ["tracepoint", "kprobe"] {
        let output = conntrack(&["--source", source]).output().unwrap();
        refuses(
            &output,
            2,
            "no offsets: pipe guesser's output into conntrack",
        );
    }
    let output = conntrack(&["--duration", "0"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("source netlink, which costs"), "{stderr}");
    assert!(
        stderr.ends_with("conntrack: source netlink: no records; nothing lost\n"),
        "{stderr}"
    );
}

#[test]
fn wrong_usage() {
    for (args, said) in [
        (&["--nope"][..], "unexpected argument '--nope'"),
        (&["--source", "magic"], "invalid value 'magic'"),
        (&["--ring", "a/b"], "ring name \"a/b\""),
        (&["--ring", ""], "ring name \"\""),
        (&["--ring-size", "4K"], "a ring of 4096 bytes"),
        (&["--ring-size", "1T"], "invalid value '1T'"),
        (&["--ring-size", "999G"], "too large"),
        (&["--count", "0"], "invalid value '0'"),
        (&["--duration", "-1"], "'-1'"),
        (&["--max-entries", "0"], "invalid value '0'"),
        (&["--ready-fd", "99"], "--ready-fd 99 is not open"),
        (&["--ready-fd", "0"], "--ready-fd 0 is not open for writing"),
        (&["-e", "update"], "update events are not available"),
        (&["-e", "birth"], "invalid value 'birth'"),
        (&["--get", "udp,1.2.3.4:5"], "--get wants PROTO,SRC:PORT"),
        (
            &["--get", "udp,1.2.3.4:5,::1:6"],
            "not an address with a port",
        ),
    ] {
        let output = conntrack(args).arg("--source=netlink").output();
        let mut output = output.unwrap();
        if args[0] == "--source" {
            output = conntrack(args).output().unwrap();
        }
        refuses(&output, 2, said);
    }
}

#[test]
fn without_privileges_it_names_them() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes(&complete())).unwrap();
    let path = file.path().display().to_string();
    for (source, said) in [
        (
            "tracepoint",
            "source tracepoint needs CAP_BPF and CAP_PERFMON",
        ),
        ("netlink", "needs CAP_NET_ADMIN"),
        ("auto", "needs CAP_NET_ADMIN"),
    ] {
        // Root without capabilities: another user might not get at the binary.
        let mut command = Command::new("setpriv");
        apart(&mut command);
        let output = command
            .args([
                "--bounding-set=-all",
                "--inh-caps=-all",
                "--ambient-caps=-all",
            ])
            .arg(env!("CARGO_BIN_EXE_conntrack"))
            .args(["--offsets", &path, "--source", source])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        refuses(&output, 4, said);
    }
}

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

#[test]
fn help_shows_examples_and_the_exit_codes() {
    let output = conntrack(&["--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for text in [
        "guesser | conntrack -o json",
        "conntrack --get udp,",
        "Exit status: 0 done",
    ] {
        assert!(help.contains(text), "{help}");
    }
    let output = conntrack(&["--version"]).output().unwrap();
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .starts_with("conntrack 0.")
    );
}
