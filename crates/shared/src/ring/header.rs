//! The constant part of the ring's header as a value: the writer composes it, the reader checks it.
//! Pure: words in, words out; corrupt words give an error, never a wrong size.

use super::RingError;
use super::layout;
use super::layout::ABI_MAJOR;
use super::layout::ABI_MINOR;
use super::layout::ABI_MINOR_WITH_TIME;
use super::layout::FIELD_BYTES;
use super::layout::FIELDS;
use super::layout::HEADER_BYTES;
use super::layout::MAGIC;
use super::layout::SLOT_BYTES;
use super::layout::SLOTS_LOG2;
use super::layout::Source;
use super::layout::at;
use crate::record::wire::Record;
use crate::record::wire::known;

/// What does not change while the ring lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Number of slots, as a power of two.
    pub slots_log2: u32,
    /// Process that writes the ring.
    pub writer_pid: u32,
    /// Where the events come from.
    pub source: Source,
    /// `/proc/sys/kernel/random/boot_id` as two words.
    pub boot_id: [u64; 2],
    /// CLOCK_REALTIME at creation, in nanoseconds.
    pub epoch_ns: u64,
    /// CLOCK_REALTIME less CLOCK_MONOTONIC at creation, in nanoseconds.
    pub realtime_offset_ns: u64,
    /// The writer's minor version, [`ABI_MINOR`] in a ring of our own.
    pub abi_minor: u16,
}

impl Header {
    /// Bytes of the whole file.
    #[must_use]
    pub const fn file_bytes(&self) -> usize {
        HEADER_BYTES + (SLOT_BYTES << self.slots_log2)
    }

    /// Hands every constant word but the magic to `store`, as (byte offset, word).
    pub fn compose(&self, mut store: impl FnMut(usize, u64)) {
        let minor = u64::from(self.abi_minor);
        let abi = u64::from(ABI_MAJOR) << 48 | minor << 32 | HEADER_BYTES as u64;
        store(at::ABI, abi);
        let slots = (SLOT_BYTES as u64) << 32 | u64::from(self.slots_log2);
        let writer = u64::from(self.writer_pid) << 32 | self.source as u64;
        store(at::SLOTS, slots);
        store(at::SCHEMA_HASH, layout::schema_hash());
        store(at::WRITER, writer);
        store(at::BOOT_ID, self.boot_id[0]);
        store(at::BOOT_ID + 8, self.boot_id[1]);
        store(at::EPOCH, self.epoch_ns);
        store(at::REALTIME_OFFSET, self.realtime_offset_ns);
        store(at::FIELDS, FIELDS.len() as u64);
        for (index, entry) in FIELDS.iter().enumerate() {
            let mut bytes = [0; FIELD_BYTES];
            bytes[..entry.name.len()].copy_from_slice(entry.name.as_bytes());
            for (number, value) in entry.numbers().into_iter().enumerate() {
                bytes[24 + 2 * number..][..2].copy_from_slice(&value.to_ne_bytes());
            }
            let words: [u64; FIELD_BYTES / 8] = zerocopy::transmute!(bytes);
            for (number, word) in words.into_iter().enumerate() {
                store(at::FIELD_TABLE + index * FIELD_BYTES + number * 8, word);
            }
        }
    }

    /// Reads and checks the header of ring `name`, in a file of `file_bytes`. `load` gives the
    /// word at a byte offset; it is asked only for words of a header's length.
    ///
    /// # Errors
    /// A [`RingError`] that names what is wrong.
    pub fn parse(
        name: &str,
        file_bytes: u64,
        boot_id: [u64; 2],
        load: impl Fn(usize) -> u64,
    ) -> Result<Self, RingError> {
        let name = || name.to_owned();
        if load(at::MAGIC) != MAGIC {
            return Err(RingError::Foreign(name()));
        }
        let abi = load(at::ABI);
        let (major, minor) = ((abi >> 48) as u16, (abi >> 32) as u16);
        if major != ABI_MAJOR {
            return Err(RingError::Abi {
                name: name(),
                major,
                minor,
            });
        }
        if abi as u32 as usize != HEADER_BYTES {
            return Err(RingError::Corrupt(name()));
        }
        // A later minor version may add fields; within ours the record must be ours exactly.
        if minor == ABI_MINOR && load(at::SCHEMA_HASH) != layout::schema_hash() {
            return Err(RingError::Schema(name()));
        }
        let slots = load(at::SLOTS);
        let slots_log2 = slots as u32;
        if (slots >> 32) as usize != SLOT_BYTES || !SLOTS_LOG2.contains(&slots_log2) {
            return Err(RingError::Corrupt(name()));
        }
        let writer = load(at::WRITER);
        let source =
            Source::from_number(writer as u32).ok_or_else(|| RingError::Corrupt(name()))?;
        let header = Self {
            slots_log2,
            writer_pid: (writer >> 32) as u32,
            source,
            boot_id: [load(at::BOOT_ID), load(at::BOOT_ID + 8)],
            epoch_ns: load(at::EPOCH),
            realtime_offset_ns: load(at::REALTIME_OFFSET),
            abi_minor: minor,
        };
        if header.boot_id != boot_id {
            return Err(RingError::OtherBoot(name()));
        }
        let expected = header.file_bytes() as u64;
        if file_bytes < expected {
            return Err(RingError::Truncated {
                name: name(),
                found: file_bytes,
                expected,
            });
        }
        Ok(header)
    }

    /// A record of this ring with its CLOCK_REALTIME. Writers before [`ABI_MINOR_WITH_TIME`] left it
    /// to their readers; what a later writer does not know stays unknown.
    #[must_use]
    pub const fn with_time(&self, record: Record) -> Record {
        if self.abi_minor >= ABI_MINOR_WITH_TIME {
            return record;
        }
        Record {
            ts_ns: record.ts_mono_ns.wrapping_add(self.realtime_offset_ns),
            known: record.known | known::TIME,
            ..record
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::any;
    use proptest::proptest;
    use std::collections::HashMap;

    fn header() -> Header {
        Header {
            slots_log2: 6,
            writer_pid: 4321,
            source: Source::Tracepoint,
            boot_id: [1, 2],
            epoch_ns: 3,
            realtime_offset_ns: 4,
            abi_minor: ABI_MINOR,
        }
    }

    fn words() -> HashMap<usize, u64> {
        let mut words = HashMap::from([(at::MAGIC, MAGIC)]);
        header().compose(|at, word| {
            assert_eq!(words.insert(at, word), None, "two words at {at}");
        });
        words
    }

    fn parse(words: &HashMap<usize, u64>) -> Result<Header, RingError> {
        let bytes = header().file_bytes() as u64;
        Header::parse("r", bytes, [1, 2], |at| {
            words.get(&at).copied().unwrap_or(0)
        })
    }

    fn changed(at: usize, word: u64) -> Result<Header, RingError> {
        let mut words = words();
        words.insert(at, word);
        parse(&words)
    }

    #[test]
    fn what_is_composed_parses_back() {
        assert_eq!(parse(&words()).unwrap(), header());
    }

    #[test]
    fn each_damage_has_its_own_error() {
        assert!(matches!(changed(at::MAGIC, 0), Err(RingError::Foreign(_))));
        let newer = 2 << 48 | HEADER_BYTES as u64;
        assert!(matches!(
            changed(at::ABI, newer),
            Err(RingError::Abi { major: 2, .. })
        ));
        assert!(matches!(
            changed(at::SCHEMA_HASH, 1),
            Err(RingError::Schema(_))
        ));
        let giant = (SLOT_BYTES as u64) << 32 | 60;
        assert!(matches!(
            changed(at::SLOTS, giant),
            Err(RingError::Corrupt(_))
        ));
        let longer = (SLOT_BYTES as u64) << 32 | 7;
        assert!(matches!(
            changed(at::SLOTS, longer),
            Err(RingError::Truncated { .. })
        ));
        assert!(matches!(
            changed(at::BOOT_ID, 9),
            Err(RingError::OtherBoot(_))
        ));
        assert!(matches!(
            changed(at::WRITER, 77),
            Err(RingError::Corrupt(_))
        ));
    }

    #[test]
    fn a_later_minor_version_is_read() {
        let minor = u64::from(ABI_MINOR) + 1;
        let later = u64::from(ABI_MAJOR) << 48 | minor << 32 | HEADER_BYTES as u64;
        let mut words = words();
        words.insert(at::ABI, later);
        words.insert(at::SCHEMA_HASH, 1);
        let expected = Header {
            abi_minor: ABI_MINOR + 1,
            ..header()
        };
        assert_eq!(parse(&words).unwrap(), expected);
    }

    #[test]
    fn records_of_an_older_writer_get_the_time_that_its_header_gives() {
        let record = Record {
            ts_mono_ns: 100,
            ..Record::BLANK
        };
        let older = Header {
            abi_minor: 1,
            ..header()
        };
        let timed = older.with_time(record);
        assert_eq!((timed.ts_ns, timed.knows(known::TIME)), (104, true));
        assert_eq!(header().with_time(record), record, "unknown stays unknown");
    }

    proptest! {
        #[test]
        fn no_header_makes_a_reader_look_beyond_the_file(
            at in 0usize..32, word in any::<u64>(), file_bytes in 0u64..100_000,
        ) {
            let mut words = words();
            words.insert(at * 8, word);
            let load = |at| words.get(&at).copied().unwrap_or(0);
            if let Ok(header) = Header::parse("r", file_bytes, [1, 2], load) {
                assert!(header.file_bytes() as u64 <= file_bytes);
            }
        }
    }
}
