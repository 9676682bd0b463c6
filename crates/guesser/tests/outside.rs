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
use std::process::Command;
use std::process::Stdio;

use caps::CapSet;
use caps::Capability;
use caps::CapsHashSet;
use harness::Finished;
use harness::PATIENCE;
use harness::Process;
use harness::PublicCopy;
use harness::Running;
use harness::need_root;
use harness::run;
use harness::wait_until;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use shared::offsets::Field;

const GUESSER: &str = env!("CARGO_BIN_EXE_guesser");
const NOBODY: u32 = 65534;
const NEEDED: [&str; 4] = ["bpf", "perfmon", "net_admin", "sys_admin"];

/// Runs it as a user who is not root, with these capabilities and no others.
fn as_nobody(public: &PublicCopy, capabilities: &[&str], args: &[&str]) -> Finished {
    run(public.as_nobody(capabilities).args(args))
}

fn fields_proven(output: &Finished) -> usize {
    let document = output.json();
    let fields = document["fields"].as_array().unwrap();
    let proven = fields.iter().filter(|field| field["status"] == "proven");
    proven.count()
}

#[test]
fn a_user_with_the_named_capabilities_can_do_all_of_it() {
    let public = PublicCopy::of(GUESSER);
    let args = ["-q", "--fields", "all", "--format", "json"];
    for capabilities in [&NEEDED[..], &["net_admin", "sys_admin"]] {
        let output = as_nobody(&public, capabilities, &args);
        assert_eq!(fields_proven(&output), Field::ALL.len(), "{capabilities:?}");
    }
}

#[test]
fn each_missing_capability_is_named() {
    let public = PublicCopy::of(GUESSER);
    let name = |capability: &&str| format!("CAP_{}", capability.to_uppercase());
    for (held, missing) in [
        (&["bpf", "perfmon", "sys_admin"][..], &["net_admin"][..]),
        (&["bpf", "perfmon", "net_admin"], &["sys_admin"]),
        (&["perfmon", "net_admin"], &["bpf", "sys_admin"]),
        (&["bpf", "net_admin"], &["perfmon", "sys_admin"]),
        (&["net_raw"], &NEEDED),
        (&[], &NEEDED),
    ] {
        let output = as_nobody(&public, held, &[]);
        let said = output.err;
        assert_eq!(output.code, 4, "{held:?}: {said}");
        assert!(output.bytes.is_empty());
        assert_eq!(said.lines().count(), 1, "{said}");
        for capability in &NEEDED {
            let is_named = said.contains(&name(capability));
            assert_eq!(is_named, missing.contains(capability), "{held:?}: {said}");
        }
    }
    // The kernel's type information is there for everybody.
    let output = as_nobody(&public, &[], &["--method", "btf", "--format", "json", "-q"]);
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
    let said = run(Command::new(GUESSER).args(["-q", "-o", file.to_str().unwrap()]));
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(fs::read(&file).unwrap().starts_with(b"SXTOFF"));
}

/// guesser on a stderr that takes a line only when we have read one: it stands still meanwhile.
struct Held {
    guesser: Process,
    lines: UnixDatagram,
    /// Messages of ours that are still before its own.
    fillers: usize,
    /// The thread that stands still, and how often it has waited.
    blocked: Option<(PathBuf, String)>,
    /// The same of when we last read a line.
    released: Option<(PathBuf, String)>,
}

impl Held {
    fn start(args: &[&str]) -> Self {
        need_root();
        // Not a pair: only a socket that is not connected back has a queue that counts messages.
        let dir = tempfile::tempdir().unwrap();
        let lines = UnixDatagram::bind(dir.path().join("stderr")).unwrap();
        let its = UnixDatagram::unbound().unwrap();
        its.connect(dir.path().join("stderr")).unwrap();
        lines.set_read_timeout(Some(PATIENCE)).unwrap();
        its.set_nonblocking(true).unwrap();
        let fillers = (0..10_000).take_while(|_| its.send(b"").is_ok()).count();
        its.set_nonblocking(false).unwrap();
        let mut command = Command::new(GUESSER);
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Self {
            guesser: Process::start(command.stderr(OwnedFd::from(its))),
            lines,
            fillers,
            blocked: None,
            released: None,
        }
    }

    /// Waits until it cannot go on before we read a line; says whether it is so, or it has ended.
    fn stands_still(&mut self) -> bool {
        let blocked = format!("{} 0x2 ", nix::libc::SYS_write);
        let read =
            |task: &Path, file: &str| fs::read_to_string(task.join(file)).unwrap_or_default();
        // A thread, and how often it has waited: it still looks blocked until it is scheduled after we
        // have read a line.
        let blocked = |task: PathBuf| {
            let is_blocked = read(&task, "syscall").starts_with(&blocked);
            let status = read(&task, "status");
            let mut lines = status.lines();
            let waited = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            let waited = waited?.trim().to_owned();
            is_blocked.then_some((task, waited))
        };
        let mut found = None;
        wait_until("it writes or ends", || {
            let all = self.tasks().into_iter().filter_map(blocked);
            found = all
                .into_iter()
                .find(|one| self.released.as_ref() != Some(one));
            found.is_some() || self.guesser.status().is_some()
        });
        self.blocked = found;
        self.blocked.is_some()
    }

    /// The next line that it said; none if it is one of ours.
    fn line(&mut self) -> Option<String> {
        let mut line = vec![0; 4096];
        let length = self.lines.recv(&mut line).unwrap();
        self.released = self.blocked.take();
        if self.fillers > 0 {
            self.fillers -= 1;
            return None;
        }
        line.truncate(length);
        Some(String::from_utf8(line).unwrap())
    }

    /// Its threads, as folders of `/proc`; none if it has ended.
    fn tasks(&self) -> Vec<PathBuf> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.guesser.pid()));
        let tasks = tasks.into_iter().flatten();
        tasks.filter_map(|task| Some(task.ok()?.path())).collect()
    }

    /// What its main thread may do, the one that measures, and each other one.
    fn permitted(&self) -> Permitted {
        let mut permitted = Permitted::default();
        for task in self.tasks() {
            let tid = task.file_name().unwrap().to_str().unwrap().parse().unwrap();
            let all = caps::read(Some(tid), CapSet::Permitted).unwrap();
            if tid == self.guesser.pid().as_raw() {
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
        (self.guesser.wait().code(), said)
    }
}

/// What the threads of a run may do.
#[derive(Debug, Default)]
struct Permitted {
    main: CapsHashSet,
    measuring: Option<CapsHashSet>,
    others: Vec<CapsHashSet>,
}

#[test]
fn each_thread_gives_up_what_it_does_not_need_any_more() {
    // With -v it speaks when it tries hooks, after the last sample, and when all is done.
    let mut held = Held::start(&["-v", "--method", "guess", "--fields", "all"]);
    let mut seen = Vec::new();
    while held.stands_still() {
        // The main thread needs nothing more once another one measures.
        wait_until("the main thread may do nothing", || {
            let permitted = held.permitted();
            permitted.measuring.is_none() || permitted.main.is_empty()
        });
        seen.push(held.permitted());
        let _ = held.line();
    }
    assert_eq!(held.guesser.wait().code(), Some(0));

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
        held.guesser.signal(signal);
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
    let mut command = Command::new(GUESSER);
    command.args(["-v", "--method", "btf", "-o"]).arg(&pipe);
    let mut guesser = Running::start(command.stdin(Stdio::null()));
    let pid = guesser.pid();
    // From then on a signal is caught.
    let caught = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
        mask >> (Signal::SIGTERM as u64 - 1) & 1 == 1
    };
    wait_until("it catches the signal", || {
        assert!(guesser.status().is_none());
        caught()
    });
    guesser.signal(Signal::SIGTERM);
    let said = guesser.finish();
    assert_eq!(said.code, 3, "{}", said.err);
    let last = "stopped by a signal before the end; nothing is emitted\n";
    assert!(said.err.ends_with(last), "{}", said.err);
}
