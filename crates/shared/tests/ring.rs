//! The ring from both ends, in one process and with a writer that dies.
//! Real files in a directory of their own; nothing outside it is touched.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use shared::record::Record;
use shared::record::wire::Loss;
use shared::record::wire::kind;
use shared::ring::Reader;
use shared::ring::RingError;
use shared::ring::RingName;
use shared::ring::Writer;
use shared::ring::layout::SUM_WORD;
use shared::ring::layout::Source;
use shared::ring::layout::at;
use shared::ring::reader::Next;
use shared::ring::reader::Writer as WriterState;
use tempfile::TempDir;

/// Smallest ring: 64 slots.
const SMALL_BYTES: u64 = 4096 + 64 * 192;

fn ring_in(directory: &TempDir) -> RingName {
    directory
        .path()
        .join("ring")
        .to_str()
        .expect("UTF-8")
        .parse()
        .expect("an absolute path")
}

fn numbered(number: u64) -> Record {
    Record {
        ct_id: number,
        packets: [number; 2],
        r#type: kind::NEW,
        ..Record::BLANK
    }
}

#[test]
fn records_arrive_in_order_and_a_closed_ring_is_gone() {
    let directory = TempDir::new().unwrap();
    let name = ring_in(&directory);
    let mut writer = Writer::create(&name, SMALL_BYTES, Source::Tracepoint).unwrap();
    let mut reader = Reader::open(&name).unwrap();
    assert_eq!(reader.advance(), Next::Empty);
    assert_eq!(reader.writer().unwrap(), WriterState::Alive);

    for number in 0..10 {
        writer.push(&numbered(number));
    }
    writer.set_loss(Loss::TableFull, 3);
    for number in 0..10 {
        let Next::Record(record) = reader.advance() else {
            panic!("record {number} is missing")
        };
        assert_eq!((record.ct_id, record.seq), (number, 2 * number + 2));
    }
    let mut lost = [0; 8];
    let file = fs::File::open(name.path()).unwrap();
    let counter = at::LOSSES + 8 * Loss::TableFull as usize;
    file.read_exact_at(&mut lost, counter as u64).unwrap();
    assert_eq!(u64::from_ne_bytes(lost), 3);

    drop(writer);
    assert_eq!(reader.writer().unwrap(), WriterState::Closed);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_slow_reader_is_told_exactly_what_it_missed() {
    let directory = TempDir::new().unwrap();
    let name = ring_in(&directory);
    let mut writer = Writer::create(&name, SMALL_BYTES, Source::Tracepoint).unwrap();
    let mut reader = Reader::open(&name).unwrap();
    let (mut seen, mut lost) = (0, 0);
    for number in 0..1000 {
        writer.push(&numbered(number));
        if number % 300 == 299 {
            loop {
                match reader.advance() {
                    Next::Record(record) => {
                        assert_eq!(record.ct_id, seen + lost);
                        seen += 1;
                    }
                    Next::Lost(count) => lost += count,
                    Next::Empty => break,
                }
            }
            assert_eq!(seen + lost, number + 1);
        }
    }
    assert!(lost > 0 && seen > 0);
}

#[test]
fn readers_beside_a_running_writer_see_whole_records_only() {
    const RECORDS: u64 = 300_000;
    let directory = TempDir::new().unwrap();
    let name = ring_in(&directory);
    let mut writer = Writer::create(&name, SMALL_BYTES, Source::Tracepoint).unwrap();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let mut reader = Reader::open(&name).unwrap();
            thread::spawn(move || {
                let mut accounted = 0;
                loop {
                    let writer = reader.writer().unwrap();
                    match reader.advance() {
                        Next::Record(record) => {
                            assert_eq!(record.ct_id, accounted);
                            assert_eq!(record.packets, [accounted; 2]);
                            accounted += 1;
                        }
                        Next::Lost(count) => accounted += count,
                        Next::Empty if writer == WriterState::Closed => return accounted,
                        Next::Empty => reader.wait(Duration::from_millis(100)),
                    }
                }
            })
        })
        .collect();
    for number in 0..RECORDS {
        writer.push(&numbered(number));
        if number % 64 == 0 {
            writer.ring_doorbell();
        }
    }
    drop(writer);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), RECORDS);
    }
}

#[test]
fn the_doorbell_wakes_a_reader_whose_map_is_read_only() {
    let directory = TempDir::new().unwrap();
    let name = ring_in(&directory);
    let mut writer = Writer::create(&name, SMALL_BYTES, Source::Tracepoint).unwrap();
    let mut reader = Reader::open(&name).unwrap();
    let sleeper = thread::spawn(move || {
        let start = Instant::now();
        while reader.advance() == Next::Empty {
            reader.wait(Duration::from_secs(60));
        }
        start.elapsed()
    });
    thread::sleep(Duration::from_millis(50));
    writer.push(&numbered(0));
    writer.ring_doorbell();
    assert!(
        sleeper.join().unwrap() < Duration::from_secs(30),
        "slept through the bell"
    );
}

#[test]
fn one_writer_at_a_time() {
    let directory = TempDir::new().unwrap();
    let name = ring_in(&directory);
    let first = Writer::create(&name, SMALL_BYTES, Source::Tracepoint).unwrap();
    match Writer::create(&name, SMALL_BYTES, Source::Tracepoint) {
        Err(RingError::Busy { pid, .. }) => assert_eq!(pid, std::process::id()),
        other => panic!("{:?}", other.err()),
    }
    assert!(
        Reader::open(&name).is_ok(),
        "the refused writer must not touch the ring"
    );
    drop(first);
    drop(Writer::create(&name, SMALL_BYTES, Source::Tracepoint).unwrap());
}

#[test]
fn a_dead_writers_ring_is_told_apart_and_replaced() {
    let directory = TempDir::new().unwrap();
    let name = ring_in(&directory);
    let mut writer = Writer::create(&name, SMALL_BYTES, Source::Tracepoint).unwrap();
    writer.push(&numbered(0));
    // What kill -9 leaves: the file as it was, and nobody who holds its lock.
    let copy = fs::read(name.path()).unwrap();
    drop(writer);
    fs::write(name.path(), copy).unwrap();

    let mut reader = Reader::open(&name).unwrap();
    assert_eq!(reader.writer().unwrap(), WriterState::Died);
    assert!(matches!(reader.advance(), Next::Record(_)));
    assert_eq!(reader.advance(), Next::Empty);

    let _successor = Writer::create(&name, SMALL_BYTES, Source::Tracepoint).unwrap();
    assert_eq!(
        Reader::open(&name).unwrap().writer().unwrap(),
        WriterState::Alive
    );
}

#[test]
fn what_was_overwritten_before_the_reader_came_is_no_loss_of_its() {
    let directory = TempDir::new().unwrap();
    let name = ring_in(&directory);
    let mut writer = Writer::create(&name, SMALL_BYTES, Source::Tracepoint).unwrap();
    let mut head = 0;
    for (pushed, oldest) in [(64, 0), (65, 17), (1000, 952)] {
        for number in head..pushed {
            writer.push(&numbered(number));
        }
        head = pushed;
        let mut reader = Reader::open(&name).unwrap();
        for number in oldest..pushed {
            match reader.advance() {
                Next::Record(record) => assert_eq!(record.ct_id, number),
                other => panic!("{other:?} instead of record {number} of {pushed}"),
            }
        }
        assert_eq!(reader.advance(), Next::Empty);
    }
}

#[test]
fn damaged_files_are_refused_each_in_its_way() {
    let directory = TempDir::new().unwrap();
    let name = ring_in(&directory);
    let open = || Reader::open(&name).err().expect("refused");
    assert!(matches!(open(), RingError::Missing(_)));

    let writer = Writer::create(&name, SMALL_BYTES, Source::Tracepoint).unwrap();
    let good = fs::read(name.path()).unwrap();
    drop(writer);

    for length in [0, 100, 4095] {
        fs::write(name.path(), &good[..length]).unwrap();
        assert!(
            matches!(open(), RingError::Truncated { .. }),
            "{length} bytes"
        );
    }
    fs::write(name.path(), &good[..5000]).unwrap();
    assert!(matches!(
        open(),
        RingError::Truncated {
            found: 5000,
            expected: SMALL_BYTES,
            ..
        }
    ));

    fs::write(name.path(), vec![0; good.len()]).unwrap();
    assert!(matches!(open(), RingError::Foreign(_)));

    fs::write(name.path(), &good).unwrap();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(name.path())
        .unwrap();
    file.write_all_at(&[9, 0], 8 + 6).unwrap();
    assert!(matches!(open(), RingError::Abi { major: 9, .. }));

    fs::remove_file(name.path()).unwrap();
    fs::create_dir(name.path()).unwrap();
    assert!(matches!(
        open(),
        RingError::NoFile {
            what: "a directory",
            ..
        }
    ));
}

#[test]
fn a_ring_of_the_first_minor_version_is_read() {
    let directory = TempDir::new().unwrap();
    let name = ring_in(&directory);
    let mut writer = Writer::create(&name, SMALL_BYTES, Source::Tracepoint).unwrap();
    writer.push(&numbered(0));
    let mut bytes = fs::read(name.path()).unwrap();
    drop(writer);
    bytes[at::ABI..][..8].copy_from_slice(&(1_u64 << 48 | 1 << 32 | 4096).to_ne_bytes());
    let sum = 4096 + 8 * SUM_WORD;
    assert_ne!(bytes[sum..][..8], [0; 8]);
    // Then it was a reserved word.
    bytes[sum..][..8].fill(0);
    fs::write(name.path(), bytes).unwrap();
    let mut reader = Reader::open(&name).unwrap();
    let found = Record {
        seq: 2,
        ..numbered(0)
    };
    assert_eq!(reader.advance(), Next::Record(found));
    assert!(reader.writer().is_ok());
}

#[test]
fn impossible_sizes_leave_nothing_behind() {
    let directory = TempDir::new().unwrap();
    let name = ring_in(&directory);
    for bytes in [0, 4096, SMALL_BYTES - 1, u64::MAX] {
        let error = Writer::create(&name, bytes, Source::Tracepoint)
            .err()
            .expect("refused");
        assert!(matches!(error, RingError::Size(_)), "{bytes}: {error}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
