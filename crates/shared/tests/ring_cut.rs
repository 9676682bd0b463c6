//! A ring that another process cuts short, overwrites, or leaves in the middle of a record: no end gets a signal,
//! no record is torn, and both ends say what happened.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

use std::fs;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use harness::wait_until;
use shared::record::Record;
use shared::ring::Reader;
use shared::ring::RingError;
use shared::ring::RingName;
use shared::ring::Writer;
use shared::ring::layout::SLOT_BYTES;
use shared::ring::layout::SLOT_WORDS;
use shared::ring::layout::Source;
use shared::ring::layout::at;
use shared::ring::reader::Next;
use shared::ring::reader::Writer as WriterState;
use tempfile::TempDir;

const SLOTS: u64 = 64;
const BYTES: u64 = 4096 + SLOTS * SLOT_BYTES as u64;
/// Inside the header, between pages, inside a page, inside a slot and between two.
const CUTS: [u64; 12] = [
    0,
    100,
    300,
    4096,
    4097,
    4096 + 192,
    5000,
    8192,
    8200,
    12_288,
    BYTES - 100,
    BYTES - 8,
];

struct Place {
    _directory: TempDir,
    name: RingName,
}

impl Place {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("ring");
        Self {
            name: path.to_str().unwrap().parse().unwrap(),
            _directory: directory,
        }
    }

    fn path(&self) -> &Path {
        self.name.path()
    }

    fn writer(&self) -> Writer {
        Writer::create(&self.name, BYTES, Source::Tracepoint).unwrap()
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.name).unwrap()
    }

    fn set_length(&self, bytes: u64) {
        let file = OpenOptions::new().write(true).open(self.path()).unwrap();
        file.set_len(bytes).unwrap();
    }
}

/// A record whose every word is the number, and not zero; but for those that the ring itself writes.
fn full(number: u64) -> Record {
    let mut words = [number; SLOT_WORDS];
    words[0] = 2 * number + 2;
    words[SLOT_WORDS - 1] = 0;
    zerocopy::transmute!(words)
}

/// What is left to read, all of it whole, from this number on; the number of the next.
fn read_whole(reader: &mut Reader, from: u64) -> u64 {
    let mut next = from;
    loop {
        match reader.advance() {
            Next::Record(record) => {
                assert_eq!(record, full(next), "torn");
                next += 1;
            }
            Next::Lost(count) => next += count,
            Next::Empty => return next,
        }
    }
}

fn is_damaged<T>(result: Result<T, RingError>) -> bool {
    matches!(result, Err(RingError::Damaged(_)))
}

#[test]
fn a_cut_ring_is_an_error_for_both_ends_wherever_it_is_cut() {
    for regrown in [false, true] {
        for length in CUTS {
            let place = Place::new();
            let mut writer = place.writer();
            for number in 0..SLOTS {
                writer.push(&full(number));
            }
            let mut reader = place.reader();
            for _ in 0..3 {
                assert!(matches!(reader.advance(), Next::Record(_)));
            }
            let end = Reader::open(&place.name).map(|mut end| {
                while let Next::Record(_) = end.advance() {}
                end
            });
            let mut end = end.unwrap();
            place.set_length(length);
            if regrown {
                place.set_length(BYTES);
            }
            let what = format!("cut to {length}, regrown: {regrown}");
            let next = read_whole(&mut reader, 3);
            assert!(next <= SLOTS, "{what}");
            assert!(is_damaged(reader.writer()), "{what}");
            reader.wait(Duration::from_millis(1));

            // A file that has its length again looks whole to those who need nothing of what is gone.
            let shows = !regrown || length <= at::HEAD as u64;
            assert_eq!(end.advance(), Next::Empty, "{what}");
            assert_eq!(is_damaged(end.writer()), shows, "{what}");

            for number in SLOTS..3 * SLOTS {
                writer.push(&full(number));
                writer.ring_doorbell();
            }
            let shows = !regrown || length <= at::STATE as u64;
            assert_eq!(is_damaged(writer.heartbeat(1)), shows, "{what}");
            drop(writer);
            assert!(!place.path().exists(), "{what}");
            drop(place.writer());
        }
    }
}

#[test]
fn a_ring_that_is_cut_under_load_ends_both_ends_in_order() {
    for round in 0..30 {
        let place = Place::new();
        let mut writer = place.writer();
        let read = Arc::new(AtomicU64::new(0));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (mut reader, read) = (place.reader(), Arc::clone(&read));
                thread::spawn(move || {
                    let mut next = 0;
                    while reader.writer().is_ok() {
                        next = read_whole(&mut reader, next);
                        read.store(next, Ordering::Relaxed);
                    }
                    assert!(is_damaged(reader.writer()));
                })
            })
            .collect();
        let writing = thread::spawn(move || {
            for number in 0.. {
                writer.push(&full(number));
                if number % 64 == 0 && is_damaged(writer.heartbeat(number)) {
                    return;
                }
            }
        });
        wait_until("records are read", || {
            read.load(Ordering::Relaxed) > 100 * round
        });
        place.set_length(round * 577 % BYTES);
        for thread in readers.into_iter().chain([writing]) {
            wait_until("it ends", || thread.is_finished());
            thread.join().expect("no torn record");
        }
    }
}

/// Leaves the ring as `kill -9` does at a word of record `number`.
fn die_in_record(place: &Place, mut writer: Writer, number: u64, words: usize) {
    for before in 0..number {
        writer.push(&full(before));
    }
    let bytes = fs::read(place.path()).unwrap();
    drop(writer);
    fs::write(place.path(), bytes).unwrap();
    let file = OpenOptions::new().write(true).open(place.path()).unwrap();
    let slot = 4096 + (number % SLOTS) * SLOT_BYTES as u64;
    file.write_all_at(&(2 * number + 1).to_ne_bytes(), slot)
        .unwrap();
    for word in 1..words as u64 {
        file.write_all_at(&number.to_ne_bytes(), slot + 8 * word)
            .unwrap();
    }
}

#[test]
fn what_a_writer_completed_before_it_died_in_a_record_is_read_and_nothing_is_called_lost() {
    for words in [1, 2, 12, SLOT_WORDS - 1] {
        for (number, oldest) in [(0, 0), (5, 0), (63, 0), (64, 1), (65, 2), (1000, 937)] {
            let place = Place::new();
            let writer = place.writer();
            die_in_record(&place, writer, number, words);
            let mut reader = place.reader();
            for expected in oldest..number {
                match reader.advance() {
                    Next::Record(record) => assert_eq!(record, full(expected)),
                    other => panic!("{other:?} instead of {expected}, died in {number}"),
                }
            }
            assert_eq!(reader.advance(), Next::Empty);
            assert_eq!(reader.writer().unwrap(), WriterState::Died);
            drop(place.writer());
        }
    }
}
