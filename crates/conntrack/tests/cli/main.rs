//! `conntrack` as a black box: bad input, wrong usage, missing privileges, what it leaves behind.
//! Needs root. Events of real connections are tested in the workspace's `tests`, with guesser.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

mod lifetime;
mod offsets;
mod ring;

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::Finished;
use harness::Namespace;
use harness::Process;
use harness::run;
use harness::run_with_input;
use harness::unique;
use harness::wait_until;
use nix::sys::statfs::BPF_FS_MAGIC;
use nix::sys::statfs::statfs;
use offsets::bytes;
use offsets::complete;

const CONNTRACK: &str = env!("CARGO_BIN_EXE_conntrack");

/// Keeps a program away from the ring and the pins of one that is at work here.
fn apart(command: &mut Command) -> &mut Command {
    let ring = unique();
    let bpffs = Path::new("/sys/fs/bpf");
    if statfs(bpffs).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC) {
        command.env("SEXTANT_CONNTRACK_PIN", bpffs.join(&ring));
    }
    command.env("SEXTANT_RING", ring)
}

/// Runs to the end.
fn conntrack(args: &[&str]) -> Finished {
    run(apart(&mut Command::new(CONNTRACK)).args(args))
}

/// Runs to the end, with these bytes piped into it.
fn feed(args: &[&str], bytes: &[u8]) -> Finished {
    run_with_input(apart(&mut Command::new(CONNTRACK)).args(args), bytes)
}

/// Expects this status and one line on stderr that contains `said`.
fn refuses(output: &Finished, status: i32, said: &str) {
    assert_eq!(output.code, status, "{}", output.err);
    assert!(output.err.contains(said), "{}", output.err);
    assert_eq!(output.lines().len(), 1, "{}", output.err);
    assert!(output.bytes.is_empty());
}

#[test]
fn without_offsets_a_bpf_source_is_refused_and_auto_says_that_it_takes_netlink() {
    for source in ["tracepoint", "kprobe"] {
        let output = conntrack(&["--source", source]);
        refuses(
            &output,
            2,
            "no offsets: pipe guesser's output into conntrack",
        );
    }
    let output = conntrack(&["--duration", "0"]);
    let stderr = output.err;
    assert_eq!(output.code, 0, "{stderr}");
    let said = "source netlink: it sees only this network namespace, and costs each new connection";
    assert!(stderr.contains(said), "{stderr}");
    let (_, summary) = stderr.rsplit_once("conntrack: source netlink: ").unwrap();
    // Another namespace of this machine may have connections.
    let is_elsewhere =
        summary.starts_with("no records; ") && summary.contains(" out of this source's sight");
    assert!(
        summary == "no records; nothing lost\n" || is_elsewhere,
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
        (&["-e", "update"], "no source reports update events yet"),
        (&["-e", "birth"], "invalid value 'birth'"),
        (&["--get", "udp,1.2.3.4:5"], "--get wants PROTO,SRC:PORT"),
        (
            &["--get", "udp,1.2.3.4:5,::1:6"],
            "not an address with a port",
        ),
    ] {
        let source = &["--source=netlink"][usize::from(args[0] == "--source")..];
        refuses(&conntrack(&[args, source].concat()), 2, said);
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
        apart(&mut command)
            .args([
                "--bounding-set=-all",
                "--inh-caps=-all",
                "--ambient-caps=-all",
            ])
            .arg(CONNTRACK)
            .args(["--offsets", &path, "--source", source]);
        refuses(&run(&mut command), 4, said);
    }
}

#[test]
fn namespaces_that_cannot_be_entered_are_named_in_the_summary() {
    let _named = Namespace::new();
    let hidden = Process::start(Command::new("unshare").args(["--net", "sleep", "60"]));
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).unwrap();
    let pid = hidden.pid().to_string();
    wait_until("it has its own namespace", || {
        namespace(&pid) != namespace("self")
    });
    // Root with what netlink needs and nothing else.
    let mut command = Command::new("setpriv");
    let set = "-all,+net_admin";
    apart(&mut command)
        .args(["--bounding-set", set, "--inh-caps", set])
        .arg(CONNTRACK)
        .args(["--source", "netlink", "--duration", "0"]);
    let ended = run(&mut command);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let said = " could not be entered (setns(CLONE_NEWNET): EPERM";
    assert!(ended.err.contains(said), "{}", ended.err);
    // It has more capabilities, so it may not be looked at.
    let said = " may not be looked at";
    assert!(ended.err.contains(said), "{}", ended.err);
}

#[test]
fn help_shows_examples_and_the_exit_codes() {
    let help = conntrack(&["--help"]).success();
    for text in [
        "guesser | conntrack -o json",
        "conntrack --get udp,",
        "Exit status: 0 done",
    ] {
        assert!(help.contains(text), "{help}");
    }
    let version = conntrack(&["--version"]).out;
    assert!(version.starts_with("conntrack 0."));
}
