//! Offsets documents, good and bad, from every place that they may come from.

use std::fs;
use std::fs::File;
use std::io::Write as _;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use harness::Running;
use shared::kernel::KernelIdentity;
use shared::offsets::Document;
use shared::offsets::Field;
use shared::offsets::FieldResult;
use shared::offsets::Method;
use shared::offsets::Status;
use shared::offsets::codec;

use super::CONNTRACK;
use super::apart;
use super::conntrack;
use super::feed;
use super::refuses;

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

pub fn bytes(document: &Document) -> Vec<u8> {
    codec::encode(document).unwrap()
}

/// All that is required, at places that hold for no kernel.
pub fn complete() -> Document {
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
        (bytes(&newer), "version 2, this program reads 1"),
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
    let output = conntrack(&["--offsets", "/no/such/file"]);
    refuses(&output, 3, "offsets from /no/such/file: No such file");
    let output = conntrack(&["--offsets", "pinned:/no/such/pin"]);
    refuses(&output, 3, "offsets from pinned:/no/such/pin");
}

#[test]
fn offsets_come_from_a_file_or_a_slow_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("offsets");
    fs::write(&path, bytes(&document(&[]))).unwrap();
    let path = path.display().to_string();
    let output = conntrack(&["--offsets", &path]);
    refuses(
        &output,
        3,
        &format!("offsets from {path}: the offsets document has no proven"),
    );
    let mut command = Command::new(CONNTRACK);
    let stdin = File::open(&path).unwrap();
    let output = Running::start(apart(&mut command).stdin(stdin)).finish();
    refuses(
        &output,
        3,
        "offsets from stdin: the offsets document has no proven",
    );

    // A document in two parts, the second late: nothing is decided before the writer is done.
    let whole = bytes(&document(&[]));
    let mut command = Command::new(CONNTRACK);
    let mut running = Running::start(apart(&mut command).stdin(Stdio::piped()));
    let mut stdin = running.child().stdin.take().unwrap();
    stdin.write_all(&whole[..30]).unwrap();
    thread::sleep(Duration::from_millis(100));
    assert!(running.status().is_none());
    stdin.write_all(&whole[30..]).unwrap();
    drop(stdin);
    refuses(&running.finish(), 3, "no proven sk_buff._nfct");
}
