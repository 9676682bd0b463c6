//! kcheck as a black box: stdout, stderr and exit code, as root and as nobody, and what it leaves.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::unistd::geteuid;
use serde_json::Value;
use tempfile::TempDir;

const KCHECK: &str = env!("CARGO_BIN_EXE_kcheck");

/// The contract: names may be added, none may go or be renamed.
const NAMES: [&str; 30] = [
    "cap_bpf",
    "cap_perfmon",
    "cap_net_admin",
    "cap_sys_admin",
    "lockdown",
    "memlock",
    "bpf_syscall",
    "map_array_mmapable",
    "map_hash",
    "ringbuf",
    "prog_test_run",
    "for_each_map_elem",
    "probe_read_kernel",
    "raw_tracepoint_net_dev_queue",
    "kprobe",
    "kprobe_nf_conntrack_confirm",
    "fentry",
    "btf_vmlinux",
    "netns",
    "setns",
    "rtnetlink",
    "nft_ct",
    "nf_conntrack",
    "ct_zones",
    "ct_mark",
    "nft_nat",
    "ctnetlink",
    "ctnetlink_events",
    "bpffs",
    "shm",
];

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn run(command: &mut Command) -> Said {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .env_remove("SEXTANT_CONFIG")
        .output()
        .expect("it starts");
    Said {
        code: status.code().expect("it ends by itself"),
        out: String::from_utf8(stdout).expect("UTF-8"),
        err: String::from_utf8(stderr).expect("UTF-8"),
    }
}

fn kcheck(args: &[&str]) -> Said {
    run(Command::new(KCHECK).args(args))
}

/// The program where users without privileges can start it; gone when dropped.
struct Public(TempDir);

impl Public {
    fn new() -> Self {
        let dir = tempfile::tempdir_in("/tmp").expect("a directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        fs::copy(KCHECK, dir.path().join("kcheck")).expect("a copy");
        Self(dir)
    }

    /// Runs it as nobody, with these capabilities left to it (`+bpf,+perfmon`) or none.
    fn as_nobody(&self, ambient: &str, args: &[&str]) -> Said {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        let sets = format!("-all{ambient}");
        for set in ["--bounding-set", "--inh-caps", "--ambient-caps"] {
            setpriv.arg(set).arg(&sets);
        }
        run(setpriv.arg(self.0.path().join("kcheck")).args(args))
    }
}

fn need_root() {
    assert!(
        geteuid().is_root(),
        "this test gives up privileges or needs all of them: run it as root"
    );
}

fn json(said: &Said) -> Value {
    assert_eq!(said.out.matches('\n').count(), 1, "one line");
    serde_json::from_str(&said.out).expect("JSON")
}

/// Verdict and errno by name, after checking the form of each probe.
fn probes(report: &Value) -> HashMap<String, (String, Option<String>)> {
    let list = report["probes"].as_array().expect("a list");
    list.iter()
        .map(|probe| {
            let text = |key: &str| probe[key].as_str().map(str::to_owned);
            let verdict = text("verdict").expect("a verdict");
            assert!(["yes", "no", "forbidden", "unknown"].contains(&verdict.as_str()));
            let detail = text("detail").expect("a sentence");
            assert!(!detail.is_empty() && !detail.ends_with('.'), "{detail}");
            let keys = probe.as_object().expect("an object").keys();
            let known = ["name", "verdict", "errno", "detail"];
            assert!(keys.into_iter().all(|key| known.contains(&key.as_str())));
            let errno = text("errno");
            assert!(errno.as_deref().is_none_or(|errno| errno.starts_with('E')));
            assert!(verdict != "yes" || errno.is_none());
            (text("name").expect("a name"), (verdict, errno))
        })
        .collect()
}

#[test]
fn json_names_every_probe_once_and_in_order() {
    let said = kcheck(&["--json"]);
    let report = json(&said);
    let names: Vec<&str> = report["probes"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|probe| probe["name"].as_str())
        .collect();
    assert_eq!(names, NAMES);
    probes(&report);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc");
    assert_eq!(report["kernel"]["release"], release.trim());
    let verdict = report["verdict"].as_str().expect("a verdict");
    let code = match verdict {
        "ready" => 0,
        "degraded" => 1,
        "unprivileged" => 4,
        "unsupported" => 5,
        other => panic!("verdict {other}"),
    };
    assert_eq!(said.code, code);
    assert_eq!(report["source"].is_string(), verdict == "ready");
    assert_eq!(report["offsets"].is_string(), verdict == "ready");
}

#[test]
fn text_is_one_line_per_probe_with_the_same_answers() {
    let said = kcheck(&[]);
    let told = probes(&json(&kcheck(&["--json"])));
    let lines: Vec<Vec<&str>> = said
        .out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), NAMES.len());
    for (line, name) in lines.iter().zip(NAMES) {
        let (verdict, errno) = &told[name];
        let errno = errno.as_deref().unwrap_or("-");
        assert_eq!(line[..3], [name, verdict.as_str(), errno]);
        assert!(line.len() > 3, "{name} has no sentence");
    }
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
}

/// Facts of the kernel that can be read without kcheck: each must be what kcheck found by trying.
#[test]
fn root_answers_agree_with_the_machine() {
    need_root();
    let told = probes(&json(&kcheck(&["--json"])));
    let is = |name: &str, verdict: &str| assert_eq!(told[name].0, verdict, "{name}: {told:?}");
    for name in [
        "cap_bpf",
        "bpf_syscall",
        "map_hash",
        "netns",
        "setns",
        "rtnetlink",
        "shm",
    ] {
        is(name, "yes");
    }
    is("raw_tracepoint_net_dev_queue", "yes");
    if !Path::new("/sys/bus/event_source/devices/kprobe").exists() {
        assert_eq!(told["kprobe"], ("no".into(), Some("ENOENT".into())));
        assert_eq!(told["kprobe_nf_conntrack_confirm"].0, "no");
    }
    let btf = Path::new("/sys/kernel/btf/vmlinux").exists();
    is("btf_vmlinux", if btf { "yes" } else { "no" });
    let mounts = fs::read_to_string("/proc/self/mounts").expect("/proc");
    let bpffs = mounts
        .lines()
        .any(|line| line.contains(" /sys/fs/bpf bpf "));
    is("bpffs", if bpffs { "yes" } else { "no" });
}

#[test]
fn quiet_leaves_the_exit_code_and_what_was_asked_for() {
    let loud = kcheck(&[]);
    let quiet = kcheck(&["-q"]);
    assert_eq!((quiet.code, quiet.out.as_str()), (loud.code, ""));
    if quiet.code < 2 {
        assert_eq!(quiet.err, "");
    }
    json(&kcheck(&["-q", "--json"]));
}

#[test]
fn require_asks_about_these_probes_only() {
    let told = probes(&json(&kcheck(&["--json"])));
    let with = |verdict: &str| {
        let mut names: Vec<&str> = NAMES
            .into_iter()
            .filter(|name| told[*name].0 == verdict)
            .collect();
        names.truncate(2);
        names
    };
    let yes = with("yes").join(",");
    let said = kcheck(&["-q", "--require", &yes]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "--require {yes}");
    need_root();
    for name in with("no").into_iter().chain(with("unknown")) {
        let said = kcheck(&["-q", "--require", &format!("{yes},{name}")]);
        assert_eq!(said.code, 5, "--require {name}");
        assert!(
            said.err.starts_with(&format!("kcheck: {name}: ")),
            "{}",
            said.err
        );
        assert_eq!(said.err.lines().count(), 1);
    }
}

#[test]
fn wrong_usage_is_2() {
    for args in [
        &["--nope"][..],
        &["--require", "kprobes"],
        &["--require"],
        &["-q", "-v"],
        &["operand"],
    ] {
        let said = kcheck(args);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{args:?}");
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
        assert!(said.err.starts_with("kcheck: "));
    }
}

#[test]
fn help_shows_the_exit_codes_and_two_examples() {
    let said = kcheck(&["--help"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    for text in [
        "Exit codes:",
        "kcheck && guesser",
        "jq -r",
        "raw_tracepoint_net_dev_queue",
    ] {
        assert!(said.out.contains(text), "{text}");
    }
}

#[test]
fn nobody_is_told_which_capabilities_are_missing() {
    need_root();
    let public = Public::new();
    let said = public.as_nobody("", &["--json"]);
    let lacks = "CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, CAP_NET_ADMIN";
    assert_eq!(said.err, format!("kcheck: missing privilege: {lacks}\n"));
    assert_eq!(said.code, 4);
    let report = json(&said);
    assert_eq!(report["verdict"], "unprivileged");
    let told = probes(&report);
    for name in [
        "bpf_syscall",
        "ringbuf",
        "raw_tracepoint_net_dev_queue",
        "netns",
        "ctnetlink",
    ] {
        assert_eq!(
            told[name],
            ("forbidden".into(), Some("EPERM".into())),
            "{name}"
        );
    }
    assert_eq!(told["cap_bpf"], ("forbidden".into(), None));
    assert_eq!(
        told["nft_ct"].0, "unknown",
        "without a namespace it is not tried"
    );
    assert_eq!(told["rtnetlink"].0, "yes");

    let said = public.as_nobody("", &["-q", "--require", "rtnetlink,ringbuf"]);
    assert_eq!(said.code, 4);
    let expected =
        "kcheck: ringbuf: EPERM: load of output refused: CAP_BPF and CAP_PERFMON are missing\n";
    assert_eq!(said.err, expected);
}

#[test]
fn a_hook_fires_on_our_own_loopback_without_a_namespace() {
    need_root();
    let public = Public::new();
    let told = probes(&json(&public.as_nobody(",+bpf,+perfmon", &["--json"])));
    assert_eq!(told["netns"].0, "forbidden");
    assert_eq!(told["raw_tracepoint_net_dev_queue"].0, "yes");
    assert_eq!(told["probe_read_kernel"].0, "yes");
}

#[test]
fn without_room_for_a_ring_no_source_is_of_use() {
    need_root();
    let script = "mount -t tmpfs -o ro none /dev/shm && exec \"$0\" -q";
    let said = run(Command::new("unshare").args(["--mount", "sh", "-c", script, KCHECK]));
    assert_eq!(said.code, 5, "{}", said.err);
    let expected = "kcheck: no source works: shm: EROFS: ";
    assert!(said.err.starts_with(expected), "{}", said.err);
}

#[test]
fn a_report_that_cannot_be_written_is_a_failure_and_a_closed_pipe_is_not() {
    let full = run(Command::new("sh").args(["-c", "exec \"$0\" >/dev/full", KCHECK]));
    assert_eq!(full.code, 3);
    assert!(
        full.err.starts_with("kcheck: write the report: "),
        "{}",
        full.err
    );

    let script = "{ \"$0\" --json; echo $? >&2; } | exec true";
    let said = run(Command::new("sh").args(["-c", script, KCHECK]));
    let code = kcheck(&["-q"]).code.to_string();
    assert_eq!(
        said.err.lines().last(),
        Some(code.as_str()),
        "the answer stays"
    );
}

/// What belongs to kcheck and is there now: BPF objects, processes, files. A namespace has no name
/// and ends with the last process that holds it.
fn left_behind() -> Vec<String> {
    let mut found = Vec::new();
    for kind in ["map", "prog", "link"] {
        let said = run(Command::new("bpftool").args([kind, "show"]));
        assert_eq!(said.code, 0, "{}", said.err);
        found.extend(
            said.out
                .lines()
                .filter(|line| line.contains("kcheck_"))
                .map(|line| format!("{kind} {line}")),
        );
    }
    let comm = |entry: &fs::DirEntry| fs::read_to_string(entry.path().join("comm"));
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    found.extend(
        processes
            .filter_map(|entry| comm(&entry).ok())
            .filter(|comm| comm.starts_with("kcheck-"))
            .map(|comm| format!("process {comm}")),
    );
    let shm = fs::read_dir("/dev/shm").expect("/dev/shm").flatten();
    found.extend(
        shm.map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains("kcheck")),
    );
    found
}

#[test]
fn nothing_is_left_behind() {
    need_root();
    kcheck(&["-q"]);
    // The kernel lets go of a program's maps after a grace period; other tests run kcheck, too.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let left = left_behind();
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{left:?}");
        thread::sleep(Duration::from_millis(10));
    }
}
