//! `conntrack` as a black box: bad input, wrong usage, missing privileges, what it leaves behind.
//! Needs root. Events of real connections are tested in the workspace's `tests`, with guesser.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

mod lifetime;
mod offsets;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use nix::sys::statfs::BPF_FS_MAGIC;
use nix::sys::statfs::statfs;
use offsets::bytes;
use offsets::complete;

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
