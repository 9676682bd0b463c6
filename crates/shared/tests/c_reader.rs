//! The C side of the ring: its header's numbers against ours, and its reader on our writer.
//! Compiles with the machine's C compiler, as a user of `contrib/ring` would.

use std::fmt::Write as _;
use std::fs;
use std::mem::offset_of;
use std::net::Ipv4Addr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use shared::record::Record;
use shared::record::wire::address_bytes;
use shared::record::wire::kind;
use shared::ring::Writer;
use shared::ring::layout;
use shared::ring::layout::Source;
use shared::ring::layout::at;
use tempfile::TempDir;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn compile(source: &Path, program: &Path) {
    let status = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-o"])
        .arg(program)
        .arg(source)
        .arg("-I")
        .arg(repository().join("bpf/include"))
        .arg("-I")
        .arg(repository().join("contrib/ring"))
        .status()
        .expect("a C compiler is installed");
    assert!(status.success(), "{} does not compile", source.display());
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_c_header_has_our_numbers() {
    let header = |member: &str| format!("offsetof(struct sextant_ring_header, {member})");
    let record = |member: &str| format!("offsetof(struct sextant_record, {member})");
    let mut expected: Vec<(String, u64)> = vec![
        ("SEXTANT_RING_MAGIC".into(), layout::MAGIC),
        ("SEXTANT_RING_ABI_MAJOR".into(), layout::ABI_MAJOR.into()),
        ("SEXTANT_RING_ABI_MINOR".into(), layout::ABI_MINOR.into()),
        (
            "sizeof(struct sextant_ring_header)".into(),
            layout::HEADER_BYTES as u64,
        ),
        (
            "sizeof(struct sextant_record)".into(),
            layout::SLOT_BYTES as u64,
        ),
        (
            "sizeof(struct sextant_ring_field)".into(),
            layout::FIELD_BYTES as u64,
        ),
        (record("reserved"), offset_of!(Record, reserved) as u64),
    ];
    for (member, offset) in [
        ("magic", at::MAGIC),
        ("abi", at::ABI),
        ("slots", at::SLOTS),
        ("schema_hash", at::SCHEMA_HASH),
        ("writer", at::WRITER),
        ("boot_id", at::BOOT_ID),
        ("epoch_ns", at::EPOCH),
        ("realtime_offset_ns", at::REALTIME_OFFSET),
        ("fields", at::FIELDS),
        ("state", at::STATE),
        ("heartbeat_mono_ns", at::HEARTBEAT),
        ("doorbell", at::DOORBELL),
        ("head", at::HEAD),
        ("losses", at::LOSSES),
        ("field", at::FIELD_TABLE),
    ] {
        expected.push((header(member), offset as u64));
    }
    for field in layout::FIELDS {
        expected.push((record(field.name), field.offset.into()));
        let width = format!("sizeof(((struct sextant_record *)0)->{})", field.name);
        expected.push((width, field.width.into()));
    }

    let mut source = String::from(
        "#include <stddef.h>\n#include <stdio.h>\n#include \"sextant_ring.h\"\nint main(void)\n{\n",
    );
    for (expression, _) in &expected {
        writeln!(
            source,
            "\tprintf(\"%llu\\n\", (unsigned long long)({expression}));"
        )
        .expect("a String takes it");
    }
    source.push_str("\treturn 0;\n}\n");
    let directory = TempDir::new().unwrap();
    let (file, program) = (
        directory.path().join("numbers.c"),
        directory.path().join("numbers"),
    );
    fs::write(&file, source).unwrap();
    compile(&file, &program);
    let numbers = output(&mut Command::new(program));
    assert_eq!(numbers.lines().count(), expected.len());
    for (line, (expression, number)) in numbers.lines().zip(&expected) {
        assert_eq!(line, number.to_string(), "{expression}");
    }
}

#[test]
fn the_c_reader_reads_what_our_writer_writes() {
    let directory = TempDir::new().unwrap();
    let program = directory.path().join("ringcat");
    compile(&repository().join("contrib/ring/ringcat.c"), &program);

    let ring = directory.path().join("ring");
    let name = ring.to_str().unwrap().parse().unwrap();
    let mut writer = Writer::create(&name, 4096 + 64 * 192, Source::Tracepoint).unwrap();
    let v4 = |last| address_bytes(Ipv4Addr::new(192, 0, 2, last).into());
    for number in 0..100 {
        writer.push(&Record {
            ct_id: number,
            r#type: kind::NEW,
            proto: 17,
            orig_src: v4(1),
            orig_dst: v4(2),
            reply_src: v4(3),
            orig_sport: 1000,
            orig_dport: 53,
            reply_sport: 5353,
            ..Record::BLANK
        });
    }
    let text = output(Command::new(&program).arg(&ring));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 65, "64 slots and the count of what was missed");
    assert_eq!(
        lines[0],
        "new id=36 proto=17 ::ffff:192.0.2.1.1000 > ::ffff:192.0.2.2.53 real ::ffff:192.0.2.3.5353"
    );
    assert_eq!(lines[64], "missed 0");

    let refused = Command::new(&program).arg("/dev/null").output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
}
