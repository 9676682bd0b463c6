//! kcheck as a black box: stdout, stderr and exit code, and what it leaves behind.

mod report;

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::Finished;
use harness::need_root;
use harness::run;
use harness::wait_until;
use report::KCHECK;
use report::json;
use report::probes;

/// The contract: names may be added, none may go or be renamed.
const NAMES: [&str; 31] = [
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
    "iptables_ct",
    "ctnetlink",
    "ctnetlink_events",
    "bpffs",
    "shm",
];

fn kcheck(args: &[&str]) -> Finished {
    run(Command::new(KCHECK).args(args))
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
    let verdicts = probes(&json(&kcheck(&["--json"])));
    let lines: Vec<Vec<&str>> = said
        .out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), NAMES.len());
    for (line, name) in lines.iter().zip(NAMES) {
        let (verdict, errno) = &verdicts[name];
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
    let verdicts = probes(&json(&kcheck(&["--json"])));
    let is =
        |name: &str, verdict: &str| assert_eq!(verdicts[name].0, verdict, "{name}: {verdicts:?}");
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
        assert_eq!(verdicts["kprobe"], ("no".into(), Some("ENOENT".into())));
        assert_eq!(verdicts["kprobe_nf_conntrack_confirm"].0, "no");
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
    let verdicts = probes(&json(&kcheck(&["--json"])));
    let with = |verdict: &str| {
        let mut names: Vec<&str> = NAMES
            .into_iter()
            .filter(|name| verdicts[*name].0 == verdict)
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

/// What belongs to kcheck and is there now: maps, which any program or link of it would keep alive,
/// and files. A namespace has no name and ends with the process that holds it.
fn left_behind() -> Vec<String> {
    let maps = run(Command::new("bpftool").args(["map", "show"]));
    assert_eq!(maps.code, 0, "{}", maps.err);
    let maps = maps.out.lines().map(str::to_owned);
    let files = fs::read_dir("/dev/shm").expect("/dev/shm").flatten();
    let files = files.map(|entry| entry.file_name().to_string_lossy().into_owned());
    maps.chain(files)
        .filter(|name| name.contains("kcheck_"))
        .collect()
}

#[test]
fn nothing_is_left_behind() {
    need_root();
    kcheck(&["-q"]);
    // The kernel lets go of a program's maps after a grace period; other tests run kcheck, too.
    wait_until("no map and no file is left", || left_behind().is_empty());
}
