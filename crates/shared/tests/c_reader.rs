//! The C side of the ring: its header's numbers against ours, and its reader on our writer.
//! And what that reader says of rings that are none, or are damaged.

#[path = "ring_kill/compiler.rs"]
mod compiler;

use std::fmt::Write as _;
use std::fs;
use std::fs::OpenOptions;
use std::mem::offset_of;
use std::net::Ipv4Addr;
use std::os::unix::fs::lchown;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use compiler::compile;
use compiler::ringcat;
use harness::Running;
use harness::need_root;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use shared::record::Record;
use shared::record::wire::address_bytes;
use shared::record::wire::kind;
use shared::ring::Writer;
use shared::ring::layout;
use shared::ring::layout::Source;
use shared::ring::layout::at;
use tempfile::TempDir;

/// Smallest ring: 64 slots.
const SMALL_BYTES: u64 = 4096 + 64 * 192;

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
    let program = ringcat(directory.path());
    let ring = directory.path().join("ring");
    let name = ring.to_str().unwrap().parse().unwrap();
    let mut writer = Writer::create(&name, SMALL_BYTES, Source::Tracepoint).unwrap();
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
    // From the oldest record that the writer does not overwrite next; none of those is missed.
    assert_eq!(lines.len(), 49, "{text}");
    assert_eq!(
        lines[0],
        "new id=52 proto=17 ::ffff:192.0.2.1.1000 > ::ffff:192.0.2.2.53 real ::ffff:192.0.2.3.5353"
    );
    assert_eq!(lines[48], "missed 0");

    // A dead writer overwrites nothing.
    let bytes = fs::read(&ring).unwrap();
    drop(writer);
    fs::write(&ring, bytes).unwrap();
    let text = output(Command::new(&program).arg(&ring));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 65, "{text}");
    assert!(lines[0].starts_with("new id=36 "), "{text}");
    assert_eq!(lines[64], "missed 0");
}

/// A writer with this many records, numbered from 0.
fn written(ring: &Path, count: u64) -> Writer {
    let path = ring.to_str().expect("a plain name");
    let name = path.parse().expect("the name of a ring");
    let writer = Writer::create(&name, SMALL_BYTES, Source::Tracepoint);
    let mut writer = writer.expect("a ring");
    for number in 0..count {
        writer.push(&Record {
            ct_id: number,
            r#type: kind::NEW,
            ..Record::BLANK
        });
    }
    writer
}

#[test]
fn the_c_reader_skips_nothing_of_a_ring_that_is_just_full() {
    let directory = TempDir::new().unwrap();
    let program = ringcat(directory.path());
    let ring = directory.path().join("ring");
    let _writer = written(&ring, 64);
    let text = output(Command::new(&program).arg(&ring));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 65, "{text}");
    assert!(lines[0].starts_with("new id=0 "), "{text}");
    assert_eq!(lines[64], "missed 0");
}

/// On a weakly ordered machine a reader may see the beginning of record 101 before the head that record 100 was
/// published by.
#[test]
fn a_head_that_is_seen_late_is_no_damage_for_the_c_reader() {
    let directory = TempDir::new().unwrap();
    let program = ringcat(directory.path());
    let ring = directory.path().join("ring");
    let writer = written(&ring, 101);
    let mut bytes = fs::read(&ring).unwrap();
    drop(writer);
    let mut set = |at: usize, word: u64| bytes[at..at + 8].copy_from_slice(&word.to_ne_bytes());
    set(at::HEAD, 100);
    let slot = layout::HEADER_BYTES + (101 & 63) * layout::SLOT_BYTES;
    set(slot, 2 * 101 + 1);
    fs::write(&ring, &bytes).unwrap();
    let text = output(Command::new(&program).arg(&ring));
    let lines: Vec<&str> = text.lines().collect();
    // Record 36 was overwritten before the reader came; it misses 37.
    assert!(lines[0].starts_with("new id=38 "), "{text}");
    assert!(lines[61].starts_with("new id=99 "), "{text}");
    assert_eq!(lines[62..], ["missed 1"]);
}

/// What ringcat says on stderr when it refuses.
fn refusal(program: &Path, ring: &Path) -> String {
    let finished = harness::run(Command::new(program).arg("-f").arg(ring));
    assert_eq!(finished.code, 1, "{finished:?}");
    let prefix = format!("ringcat: {}", ring.display());
    let said = finished.err.strip_prefix(&prefix);
    said.unwrap_or_else(|| panic!("{finished:?}")).to_owned()
}

#[test]
fn the_c_reader_refuses_what_is_no_ring_to_trust_and_waits_for_nothing() {
    need_root();
    let directory = TempDir::new().unwrap();
    let program = ringcat(directory.path());
    let path = |name| directory.path().join(name);
    assert_eq!(
        refusal(&program, &path("none")),
        ": No such file or directory\n"
    );
    assert_eq!(refusal(&program, Path::new("/dev/zero")), ": not a file\n");
    mkfifo(&path("fifo"), Mode::S_IRWXU).unwrap();
    assert_eq!(refusal(&program, &path("fifo")), ": not a file\n");
    fs::write(path("notes"), [b'x'; 5000]).unwrap();
    assert_eq!(
        refusal(&program, &path("notes")),
        ": not a ring of this machine\n"
    );
    fs::write(path("short"), "x").unwrap();
    assert_eq!(refusal(&program, &path("short")), ": cut short\n");

    let ring = path("ring");
    let name = ring.to_str().unwrap().parse().unwrap();
    let _writer = Writer::create(&name, SMALL_BYTES, Source::Tracepoint).unwrap();
    symlink(&ring, path("link")).unwrap();
    assert_eq!(refusal(&program, &path("link")), ": not a file\n");
    lchown(&ring, Some(65_533), None).unwrap();
    let said = ": belongs to neither root nor the user of this program\n";
    assert_eq!(refusal(&program, &ring), said);
}

#[test]
fn the_c_reader_reports_a_ring_that_is_cut_while_it_reads() {
    let directory = TempDir::new().unwrap();
    let program = ringcat(directory.path());
    let ring = directory.path().join("ring");
    let name = ring.to_str().unwrap().parse().unwrap();
    for length in [0, 100, 4096, 5000, SMALL_BYTES - 100] {
        for regrown in [false, true] {
            let mut writer = Writer::create(&name, SMALL_BYTES, Source::Tracepoint).unwrap();
            let record = |number| Record {
                ct_id: number,
                r#type: kind::NEW,
                packets: [u64::MAX; 2],
                bytes: [u64::MAX; 2],
                ..Record::BLANK
            };
            writer.push(&record(0));
            writer.ring_doorbell();
            let mut command = Command::new(&program);
            let mut running = Running::start(command.arg("-f").arg(&ring));
            assert!(running.line().starts_with("new id=0 "));
            // It waits for the next one now, or will soon.
            running.signal(Signal::SIGSTOP);
            for number in 1..64 {
                writer.push(&record(number));
            }
            let file = OpenOptions::new().write(true).open(&ring).unwrap();
            file.set_len(length).unwrap();
            if regrown {
                file.set_len(SMALL_BYTES).unwrap();
            }
            running.signal(Signal::SIGCONT);
            let finished = running.finish();
            assert_eq!(finished.code, 1, "{finished:?}");
            let shown = ring.display();
            let said =
                format!("ringcat: {shown} was cut short or overwritten by another process\n");
            assert_eq!(finished.err, said, "cut to {length}, regrown: {regrown}");
            drop(writer);
        }
    }
}
