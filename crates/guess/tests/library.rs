//! The library as another program uses it: the example, its errors, and that the calling thread keeps its
//! namespace and capabilities. Needs root. The oracle is the kernel's type information, read by bpftool.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use guess::ErrorKind;
use guess::Known;
use guess::Options;
use harness::built;
use harness::need_root;
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
    need_root();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/two_fields.rs");
    let lines = fs::read_to_string(source).unwrap().lines().count();
    assert!(lines <= 30, "{lines} lines");
    let output = Command::new(built("examples/two_fields")).output().unwrap();
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    let nfct = btf_offset("sk_buff", "_nfct");
    let mark = btf_offset("nf_conn", "mark");
    let expected = format!("sk_buff._nfct\t{nfct}\nnf_conn.mark\t{mark}\n");
    assert_eq!(said, expected, "{output:?}");
}

/// What the calling thread is, as far as a measurement could change it.
fn this_thread() -> (PathBuf, Vec<String>) {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let capabilities = status.lines().filter(|line| line.starts_with("Cap"));
    let namespace = fs::read_link("/proc/thread-self/ns/net").unwrap();
    (namespace, capabilities.map(str::to_owned).collect())
}

#[test]
fn the_caller_keeps_its_namespace_and_capabilities() {
    need_root();
    let before = this_thread();
    assert_eq!(before.1.len(), 5, "{before:?}");
    let measured = guess::measure(Field::CONNTRACK, Options::default()).unwrap();
    assert!(measured.is_complete(), "{:?}", measured.findings);
    assert_eq!(this_thread(), before);
    let document = measured.document().unwrap();
    assert_eq!(document.fields.len(), Field::CONNTRACK.len());
}

#[test]
fn any_field_can_be_measured_alone_and_none_is_measured_at_once() {
    need_root();
    for field in Field::ALL {
        let measured = guess::measure(&[*field], Options::default()).unwrap();
        assert!(measured.offset(*field).is_some(), "{:?}", measured.findings);
    }
    let none = guess::measure(&[], Options::default()).unwrap();
    assert!(none.findings.is_empty() && none.is_complete());
}

#[test]
fn what_is_known_is_no_answer_unless_it_says_what_is_confirmed() {
    need_root();
    let fields = [Field::SkBuffNfct, Field::NfConnMark];
    let measured = guess::measure(Field::CONNTRACK, Options::default()).unwrap();
    let attempt = measured.attempt.as_ref().unwrap();
    let proven = attempt.solver.all_proven();
    let of = |field: &Field| {
        measured
            .findings
            .iter()
            .find(|one| one.field == *field)
            .cloned()
    };
    let right: Vec<_> = fields.iter().filter_map(of).collect();
    let mut wrong = right.clone();
    wrong[1].candidates = vec![1680];
    for (findings, is_served) in [(right.clone(), true), (wrong, false), (Vec::new(), false)] {
        let proven = proven.clone();
        let options = Options {
            known: Some(Known { findings, proven }),
            ..Options::default()
        };
        let again = guess::measure(&fields, options).unwrap();
        assert_eq!(again.attempt.is_none(), is_served);
        for (field, finding) in fields.iter().zip(&right) {
            assert_eq!(again.offset(*field), finding.offset());
        }
    }
}

#[test]
fn a_stop_and_a_missing_privilege_are_different_errors() {
    need_root();
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
