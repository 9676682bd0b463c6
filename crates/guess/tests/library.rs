//! The library as another program uses it: the example, its errors, and that the calling thread keeps its
//! namespace and capabilities. Needs root. The oracle is the kernel's type information, read by bpftool.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use guess::ErrorKind;
use guess::Options;
use nix::unistd::geteuid;
use shared::capability::Capabilities;
use shared::capability::Capability;
use shared::capability::keep_only;
use shared::offsets::Field;

/// The offset of a member in bytes according to bpftool.
fn btf_offset(structure: &str, member: &str) -> u32 {
    let json = Command::new("bpftool")
        .args(["--json", "btf", "dump", "file", "/sys/kernel/btf/vmlinux"])
        .output()
        .unwrap();
    let btf: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let types = btf["types"].as_array().unwrap();
    let found = types
        .iter()
        .find(|one| one["kind"] == "STRUCT" && one["name"] == structure);
    let mut members = found.unwrap()["members"].as_array().unwrap().iter();
    let member = members.find(|one| one["name"] == member).unwrap();
    u32::try_from(member["bits_offset"].as_u64().unwrap()).unwrap() / 8
}

#[test]
fn the_example_prints_two_fields() {
    assert!(
        geteuid().is_root(),
        "this test measures the kernel: run it as root"
    );
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/two_fields.rs");
    let lines = std::fs::read_to_string(example).unwrap().lines().count();
    assert!(lines <= 30, "{lines} lines");
    let output = Command::new(env!("CARGO"))
        .args([
            "run",
            "--locked",
            "--quiet",
            "--package",
            "guess",
            "--example",
            "two_fields",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    let nfct = btf_offset("sk_buff", "_nfct");
    let mark = btf_offset("nf_conn", "mark");
    assert_eq!(
        said,
        format!("sk_buff._nfct\t{nfct}\nnf_conn.mark\t{mark}\n"),
        "{output:?}"
    );
}

#[test]
fn the_caller_keeps_its_namespace_and_capabilities() {
    assert!(
        geteuid().is_root(),
        "this test measures the kernel: run it as root"
    );
    let namespace = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let before = (
        namespace(),
        Capabilities::effective().missing(&[Capability::CAP_SYS_ADMIN]),
    );
    let measured = guess::measure(Field::CONNTRACK, Options::default()).unwrap();
    assert!(measured.is_complete(), "{:?}", measured.findings);
    let after = (
        namespace(),
        Capabilities::effective().missing(&[Capability::CAP_SYS_ADMIN]),
    );
    assert_eq!(after, before);
    let document = measured.document().unwrap();
    assert_eq!(document.fields.len(), Field::CONNTRACK.len());
}

#[test]
fn a_stop_and_a_missing_privilege_are_different_errors() {
    assert!(
        geteuid().is_root(),
        "this test gives privileges away: run it as root"
    );
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let options = Options {
        stopped: Arc::new(move || count.fetch_add(1, Ordering::Relaxed) > 20),
        ..Options::default()
    };
    let error = guess::measure(Field::ALL, options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stopped, "{error}");
    // Each test has a thread of its own, and so its own capabilities.
    keep_only(&[Capability::CAP_BPF]).unwrap();
    let error = guess::measure(Field::ALL, Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Privilege);
    assert!(
        error
            .to_string()
            .contains("CAP_NET_ADMIN (to set marks and rules)"),
        "{error}"
    );
}
