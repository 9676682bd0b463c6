//! guesser as the machine around it sees it: which capabilities it takes and keeps, where it may put
//! its files, how it ends when it is told to. Needs root and setpriv; leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Output;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use caps::CapSet;
use caps::Capability;
use caps::CapsHashSet;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use nix::unistd::geteuid;
use nix::unistd::mkfifo;
use shared::offsets::Field;
use tempfile::TempDir;

const GUESSER: &str = env!("CARGO_BIN_EXE_guesser");
const PATIENCE: Duration = Duration::from_secs(30);
const NOBODY: u32 = 65534;
const NEEDED: [&str; 4] = ["bpf", "perfmon", "net_admin", "sys_admin"];

/// The program where a user who is not root can start it.
struct Public(TempDir);

impl Public {
    fn copy() -> Self {
        assert!(
            geteuid().is_root(),
            "this test gives privileges away: run it as root"
        );
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // Not written by this process: a child that another test forks meanwhile would have the file
        // open for writing, and nobody could run it.
        let copied = Command::new("install")
            .args(["-m", "755", GUESSER])
            .arg(dir.path())
            .status();
        assert!(copied.unwrap().success());
        Self(dir)
    }

    /// Runs it as a user who is not root, with these capabilities and no others.
    fn run(&self, capabilities: &[&str], args: &[&str]) -> Output {
        let mut set = String::from("-all");
        for capability in capabilities {
            set.push_str(",+");
            set.push_str(capability);
        }
        let nobody = NOBODY.to_string();
        Command::new("setpriv")
            .args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"])
            .args(["--inh-caps", &set, "--ambient-caps", &set])
            .args(["--bounding-set", &set])
            .arg(self.0.path().join("guesser"))
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn fields_proven(output: &Output) -> usize {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let fields = document["fields"].as_array().unwrap();
    let proven = fields.iter().filter(|field| field["status"] == "proven");
    proven.count()
}

#[test]
fn a_user_with_the_named_capabilities_can_do_all_of_it() {
    let public = Public::copy();
    let args = ["-q", "--fields", "all", "--format", "json"];
    for capabilities in [&NEEDED[..], &["net_admin", "sys_admin"]] {
        let output = public.run(capabilities, &args);
        assert_eq!(fields_proven(&output), Field::ALL.len(), "{capabilities:?}");
    }
}

#[test]
fn each_missing_capability_is_named() {
    let public = Public::copy();
    let name = |capability: &&str| format!("CAP_{}", capability.to_uppercase());
    for (held, missing) in [
        (&["bpf", "perfmon", "sys_admin"][..], &["net_admin"][..]),
        (&["bpf", "perfmon", "net_admin"], &["sys_admin"]),
        (&["perfmon", "net_admin"], &["bpf", "sys_admin"]),
        (&["bpf", "net_admin"], &["perfmon", "sys_admin"]),
        (&["net_raw"], &NEEDED),
        (&[], &NEEDED),
    ] {
        let output = public.run(held, &[]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{held:?}: {said}");
        assert!(output.stdout.is_empty());
        assert_eq!(said.lines().count(), 1, "{said}");
        for capability in &NEEDED {
            let is_named = said.contains(&name(capability));
            assert_eq!(is_named, missing.contains(capability), "{held:?}: {said}");
        }
    }
    // The kernel's type information is there for everybody.
    let output = public.run(&[], &["--method", "btf", "--format", "json", "-q"]);
    assert_eq!(fields_proven(&output), Field::CONNTRACK.len());
}

#[test]
fn root_puts_a_file_into_anybodys_folder() {
    let dir = tempfile::tempdir().unwrap();
    chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    // Sticky: without CAP_FOWNER only the owner of a file replaces it.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1755)).unwrap();
    let file = dir.path().join("offsets");
    fs::write(&file, "older").unwrap();
    chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
    let said = Command::new(GUESSER)
        .args(["-q", "-o", file.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(0), "{}", stderr(&said));
    assert!(fs::read(&file).unwrap().starts_with(b"SXTOFF"));
}

/// guesser on a stderr that takes a line only when we have read one: it stands still meanwhile.
struct Held {
    guesser: Child,
    lines: UnixDatagram,
    /// Messages of ours that are still before its own.
    fillers: usize,
}

impl Held {
    fn start(args: &[&str]) -> Self {
        assert!(
            geteuid().is_root(),
            "this test measures the kernel: run it as root"
        );
        // Not a pair: only a socket that is not connected back has a queue that counts messages.
        let dir = tempfile::tempdir().unwrap();
        let lines = UnixDatagram::bind(dir.path().join("stderr")).unwrap();
        let its = UnixDatagram::unbound().unwrap();
        its.connect(dir.path().join("stderr")).unwrap();
        lines.set_read_timeout(Some(PATIENCE)).unwrap();
        its.set_nonblocking(true).unwrap();
        let fillers = (0..10_000).take_while(|_| its.send(b"").is_ok()).count();
        its.set_nonblocking(false).unwrap();
        let guesser = Command::new(GUESSER)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(OwnedFd::from(its)))
            .spawn()
            .unwrap();
        Self {
            guesser,
            lines,
            fillers,
        }
    }

    /// Waits until it cannot go on before we read a line; says whether it is so, or it has ended.
    fn stands_still(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let blocked = format!("{} 0x2 ", nix::libc::SYS_write);
        let is_blocked = |task: PathBuf| {
            let call = fs::read_to_string(task.join("syscall"));
            call.is_ok_and(|call| call.starts_with(&blocked))
        };
        while self.status().is_none() {
            if self.tasks().into_iter().any(is_blocked) {
                return true;
            }
            assert!(Instant::now() < deadline, "it neither writes nor ends");
            thread::yield_now();
        }
        false
    }

    fn status(&mut self) -> Option<ExitStatus> {
        self.guesser.try_wait().unwrap()
    }

    /// The next line that it said; none if it is one of ours.
    fn line(&mut self) -> Option<String> {
        let mut line = vec![0; 4096];
        let length = self.lines.recv(&mut line).unwrap();
        if self.fillers > 0 {
            self.fillers -= 1;
            return None;
        }
        line.truncate(length);
        Some(String::from_utf8(line).unwrap())
    }

    /// Its threads, as folders of `/proc`; none if it has ended.
    fn tasks(&self) -> Vec<PathBuf> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.guesser.id()));
        let tasks = tasks.into_iter().flatten();
        tasks.filter_map(|task| Some(task.ok()?.path())).collect()
    }

    /// What its main thread may do, the one that measures, and each other one.
    fn permitted(&self) -> Permitted {
        let mut permitted = Permitted::default();
        for task in self.tasks() {
            let tid = task.file_name().unwrap().to_str().unwrap().parse().unwrap();
            let all = caps::read(Some(tid), CapSet::Permitted).unwrap();
            if tid == self.guesser.id() as i32 {
                permitted.main = all;
            } else if fs::read_to_string(task.join("comm")).unwrap() == "measure\n" {
                permitted.measuring = Some(all);
            } else {
                permitted.others.push(all);
            }
        }
        permitted
    }

    /// Reads on until it ends; what it said since it was started.
    fn end(&mut self) -> (Option<i32>, Vec<String>) {
        let mut said = Vec::new();
        while self.stands_still() {
            said.extend(self.line());
        }
        self.lines.set_nonblocking(true).unwrap();
        let mut rest = [0; 4096];
        while let Ok(length) = self.lines.recv(&mut rest) {
            if self.fillers > 0 {
                self.fillers -= 1;
            } else {
                said.push(String::from_utf8(rest[..length].to_vec()).unwrap());
            }
        }
        (self.status().unwrap().code(), said)
    }
}

/// What the threads of a run may do.
#[derive(Debug, Default)]
struct Permitted {
    main: CapsHashSet,
    measuring: Option<CapsHashSet>,
    others: Vec<CapsHashSet>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.guesser.kill();
        let _ = self.guesser.wait();
    }
}

#[test]
fn each_thread_gives_up_what_it_does_not_need_any_more() {
    // With -v it speaks when it tries hooks, after the last sample, and when all is done.
    let mut held = Held::start(&["-v", "--method", "guess", "--fields", "all"]);
    let mut seen = Vec::new();
    while held.stands_still() {
        // The main thread needs nothing more once another one measures.
        let deadline = Instant::now() + PATIENCE;
        while held.permitted().measuring.is_some() && !held.permitted().main.is_empty() {
            assert!(Instant::now() < deadline, "{:?}", held.permitted());
            thread::yield_now();
        }
        seen.push(held.permitted());
        let _ = held.line();
    }
    assert_eq!(held.status().unwrap().code(), Some(0));

    let first = seen.first().unwrap();
    assert!(!first.others.is_empty(), "namespaces have threads");
    for permitted in &seen {
        assert!(permitted.main.is_empty(), "{permitted:?}");
        assert!(
            permitted.others.iter().all(CapsHashSet::is_empty),
            "{permitted:?}"
        );
    }
    let measuring: Vec<&CapsHashSet> = seen
        .iter()
        .filter_map(|one| one.measuring.as_ref())
        .collect();
    assert!(
        measuring[0].contains(&Capability::CAP_SYS_ADMIN),
        "{measuring:?}"
    );
    for pair in measuring.windows(2) {
        assert!(pair[1].is_subset(pair[0]), "nothing comes back");
    }
    let sampling = CapsHashSet::from([Capability::CAP_NET_ADMIN]);
    let while_samples_are_taken =
        |one: &Permitted| one.measuring.as_ref() == Some(&sampling) && !one.others.is_empty();
    assert!(seen.iter().any(while_samples_are_taken), "{seen:?}");
    let last = seen.last().unwrap();
    assert!(
        last.measuring.is_none() && last.others.is_empty(),
        "{last:?}"
    );
}

fn entries(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

#[test]
fn a_signal_ends_it_with_one_line_and_nothing_half_written() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("offsets");
        let mut held = Held::start(&["-v", "-o", file.to_str().unwrap()]);
        assert!(held.stands_still(), "it says which hooks it found");
        let pid = Pid::from_raw(held.guesser.id() as i32);
        kill(pid, signal).unwrap();
        let (code, said) = held.end();
        assert_eq!(code, Some(3), "{said:?}");
        let last = "guesser: stopped by a signal before the end; nothing is emitted";
        assert!(said.concat().ends_with(&format!("{last}\n")), "{said:?}");
        assert_eq!(said.concat().matches(last).count(), 1);
        assert_eq!(entries(dir.path()), 0);
    }
}

#[test]
fn a_signal_ends_it_while_nobody_reads() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let mut guesser = Command::new(GUESSER)
        .args(["-v", "--method", "btf", "-o"])
        .arg(&pipe)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(guesser.id() as i32);
    // From then on a signal is caught.
    let caught = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
        mask >> (Signal::SIGTERM as u64 - 1) & 1 == 1
    };
    let deadline = Instant::now() + PATIENCE;
    while !caught() {
        assert!(Instant::now() < deadline && guesser.try_wait().unwrap().is_none());
        thread::yield_now();
    }
    kill(pid, Signal::SIGTERM).unwrap();
    let said = guesser.wait_with_output().unwrap();
    let err = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said.status.code(), Some(3), "{err}");
    let last = "stopped by a signal before the end; nothing is emitted\n";
    assert!(err.ends_with(last), "{err}");
}
