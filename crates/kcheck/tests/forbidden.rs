//! kcheck where it is not let: without privileges, with some of them, and under a seccomp filter.

mod report;

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use harness::Finished;
use harness::PublicCopy;
use harness::need_root;
use harness::run;
use report::KCHECK;
use report::json;
use report::probes;

/// Runs kcheck as nobody, with these capabilities left to it.
fn as_nobody(capabilities: &[&str], args: &[&str]) -> Finished {
    run(PublicCopy::of(KCHECK).as_nobody(capabilities).args(args))
}

#[test]
fn nobody_is_told_which_capabilities_are_missing() {
    let said = as_nobody(&[], &["--json"]);
    let lacks = "CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, CAP_NET_ADMIN";
    assert_eq!(said.err, format!("kcheck: missing privilege: {lacks}\n"));
    assert_eq!(said.code, 4);
    let report = json(&said);
    assert_eq!(report["verdict"], "unprivileged");
    let verdicts = probes(&report);
    for name in [
        "bpf_syscall",
        "ringbuf",
        "raw_tracepoint_net_dev_queue",
        "netns",
        "ctnetlink",
    ] {
        assert_eq!(
            verdicts[name],
            ("forbidden".into(), Some("EPERM".into())),
            "{name}"
        );
    }
    assert_eq!(verdicts["cap_bpf"], ("forbidden".into(), None));
    assert_eq!(
        verdicts["nft_ct"].0, "unknown",
        "without a namespace it is not tried"
    );
    assert_eq!(verdicts["rtnetlink"].0, "yes");

    let said = as_nobody(&[], &["-q", "--require", "rtnetlink,ringbuf"]);
    assert_eq!(said.code, 4);
    let expected =
        "kcheck: ringbuf: EPERM: load of output refused: CAP_BPF and CAP_PERFMON are missing\n";
    assert_eq!(said.err, expected);
}

#[test]
fn a_hook_fires_on_our_own_loopback_without_a_namespace() {
    let verdicts = probes(&json(&as_nobody(&["bpf", "perfmon"], &["--json"])));
    assert_eq!(verdicts["netns"].0, "forbidden");
    assert_eq!(verdicts["raw_tracepoint_net_dev_queue"].0, "yes");
    assert_eq!(verdicts["probe_read_kernel"].0, "yes");
}

/// Compiles the program that runs others without bpf(2).
fn without_bpf(directory: &Path) -> Command {
    let program = directory.join("without_bpf");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenes/without_bpf.c");
    let status = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([program.as_path(), source.as_path()])
        .status()
        .expect("a C compiler is installed");
    assert!(status.success(), "{} does not compile", source.display());
    let mut command = Command::new(program);
    command.arg(KCHECK);
    command
}

#[test]
fn under_a_seccomp_filter_bpf_is_forbidden_and_netlink_is_left() {
    need_root();
    let directory = TempDir::new().expect("a directory");
    let said = run(without_bpf(directory.path()).arg("--json"));
    let report = json(&said);
    let verdicts = probes(&report);
    for name in [
        "bpf_syscall",
        "map_hash",
        "ringbuf",
        "raw_tracepoint_net_dev_queue",
        "kprobe",
    ] {
        assert_eq!(
            verdicts[name],
            ("forbidden".into(), Some("EPERM".into())),
            "{name}"
        );
    }
    assert!(
        said.out
            .contains("no capability is missing; perhaps a seccomp filter")
    );
    assert_eq!(verdicts["cap_bpf"].0, "yes");
    assert_eq!(verdicts["ctnetlink_events"].0, "yes");
    assert_eq!(
        (report["verdict"].as_str(), said.code),
        (Some("degraded"), 1)
    );
    assert!(
        said.err
            .starts_with("kcheck: degraded: only source netlink works (map_hash: EPERM: ")
    );

    let said = run(without_bpf(directory.path()).args(["-q", "--allow-degraded"]));
    assert_eq!(
        (said.code, said.out.as_str(), said.err.as_str()),
        (0, "", "")
    );
    let said = run(without_bpf(directory.path()).args(["-q", "--require", "ringbuf"]));
    assert_eq!(said.code, 5, "no privilege would help: {}", said.err);
}
