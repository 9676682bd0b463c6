//! The ring's ABI: where each word of the header lies, and what it means. Numbers only.
//! `contrib/ring/sextant_ring.h` has the same numbers in C; a test compiles it and compares. A word that
//! has no name here is reserved and zero.

use std::mem::offset_of;
use std::ops::RangeInclusive;

use crate::fnv1a;
use crate::numbered::numbered;
use crate::record::wire::RECORD_BYTES;
use crate::record::wire::Record;
use crate::record::wire::known;

/// "SXTNRING" in the byte order of this machine: a ring of the other order does not match.
pub const MAGIC: u64 = u64::from_be_bytes(*b"SXTNRING");
/// Readers refuse another major version. A minor version only adds.
pub const ABI_MAJOR: u16 = 1;
/// See [`ABI_MAJOR`].
pub const ABI_MINOR: u16 = 2;
/// The first minor version whose records have a `ts_ns`.
pub const ABI_MINOR_WITH_TIME: u16 = 2;
/// Bytes before the first slot.
pub const HEADER_BYTES: usize = 4096;
/// Bytes of a slot.
pub const SLOT_BYTES: usize = RECORD_BYTES;
/// 64-bit words of a slot; the first is its sequence number.
pub const SLOT_WORDS: usize = SLOT_BYTES / 8;
/// Word of a slot that is the sum of all others, the complete sequence number among them, so that a slot of which
/// something is gone shows it. It belongs to no field of the record.
pub const SUM_WORD: usize = SLOT_WORDS - 1;
/// Minor version since which slots have a [`SUM_WORD`].
pub const SUM_SINCE_MINOR: u16 = 2;
/// Smallest and largest ring, as powers of two of slots.
pub const SLOTS_LOG2: RangeInclusive<u32> = 6..=24;

/// Byte offsets of the header's words. Words that change while the ring lives stand apart from
/// those that do not, and what the writer changes often has 128 bytes of its own.
pub mod at {
    /// u64, [`super::MAGIC`]; written last, so a ring without it is not finished.
    pub const MAGIC: usize = 0;
    /// u64: major << 48 | minor << 32 | header bytes.
    pub const ABI: usize = 8;
    /// u64: slot bytes << 32 | log2 of the number of slots.
    pub const SLOTS: usize = 16;
    /// u64, [`super::schema_hash`] of the field table.
    pub const SCHEMA_HASH: usize = 24;
    /// u64: writer's process id << 32 | source, a [`super::Source`].
    pub const WRITER: usize = 32;
    /// 2 × u64: `/proc/sys/kernel/random/boot_id`.
    pub const BOOT_ID: usize = 48;
    /// u64: CLOCK_REALTIME nanoseconds at creation; each ring of this name has another.
    pub const EPOCH: usize = 64;
    /// u64: CLOCK_REALTIME less CLOCK_MONOTONIC at creation, in nanoseconds. It is constant, so it
    /// is wrong once the clock is set: records have their own `ts_ns` since minor version 2.
    pub const REALTIME_OFFSET: usize = 72;
    /// u64: entries in the field table.
    pub const FIELDS: usize = 80;

    /// u64, a [`super::State`].
    pub const STATE: usize = 256;
    /// u64: CLOCK_MONOTONIC nanoseconds of the writer's last heartbeat.
    pub const HEARTBEAT: usize = 264;

    /// u32: futex word, bumped once for each batch of records.
    pub const DOORBELL: usize = 384;
    /// u64: records ever published; the next one's number.
    pub const HEAD: usize = 512;
    /// 16 × u64; the index is the number of a [`crate::record::wire::Loss`].
    pub const LOSSES: usize = 640;
    /// Field table: [`super::FIELDS`] entries of [`super::FIELD_BYTES`].
    pub const FIELD_TABLE: usize = 1024;
}

/// Bytes of an entry of the field table: name (24, zero-padded), then as u16: offset, width in
/// bytes, kind (0 unsigned, 1 bytes), and the bit of `known` that marks it known (0: it always is).
pub const FIELD_BYTES: usize = 32;

numbered! {
    /// Where the writer takes its events from.
    pub enum Source: u32 {
        /// Raw tracepoint `net_dev_queue`.
        Tracepoint = 1, "tracepoint";
        /// Kprobes.
        Kprobe = 2, "kprobe";
        /// fentry and fexit.
        Fentry = 3, "fentry";
        /// ctnetlink.
        Netlink = 4, "netlink";
    }
}

/// What the writer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum State {
    /// The start-up load is under way.
    Dumping = 1,
    /// Events as they happen.
    Live = 2,
    /// The writer ended and closed the ring; nothing follows.
    Closed = 3,
}

/// One entry of the field table.
pub struct FieldEntry {
    /// Name in the C header.
    pub name: &'static str,
    /// Byte offset in the slot.
    pub offset: u16,
    /// Bytes.
    pub width: u16,
    /// 0 unsigned integers, 1 raw bytes.
    pub kind: u16,
    /// Bit of `known`, or 0.
    pub known: u16,
}

impl FieldEntry {
    /// The four numbers, in the order of the table.
    #[must_use]
    pub const fn numbers(&self) -> [u16; 4] {
        [self.offset, self.width, self.kind, self.known]
    }
}

const fn width_of<T>(_: &T) -> u16 {
    size_of::<T>() as u16
}

macro_rules! field_table {
    ($($name:literal $field:ident $kind:literal $known:expr;)*) => {
        /// The fields of a record, for readers that print a version they do not know.
        pub const FIELDS: &[FieldEntry] = &[$(FieldEntry {
            name: $name,
            offset: offset_of!(Record, $field) as u16,
            width: width_of(&Record::BLANK.$field),
            kind: $kind,
            known: $known as u16,
        },)*];
    };
}

field_table! {
    "seq" seq 0 0;
    "ts_mono_ns" ts_mono_ns 0 0;
    "ct_id" ct_id 0 0;
    "type" r#type 0 0;
    "family" family 0 0;
    "proto" proto 0 0;
    "nat" nat 0 0;
    "netns_ino" netns_ino 0 known::NETNS;
    "status" status 0 known::STATUS;
    "mark" mark 0 known::MARK;
    "zone" zone 0 known::ZONE;
    "loss_where" loss_where 0 0;
    "known" known 0 0;
    "orig_src" orig_src 1 0;
    "orig_dst" orig_dst 1 0;
    "reply_src" reply_src 1 0;
    "reply_dst" reply_dst 1 0;
    "orig_sport" orig_sport 0 0;
    "orig_dport" orig_dport 0 0;
    "reply_sport" reply_sport 0 0;
    "reply_dport" reply_dport 0 0;
    "start_ns" start_ns 0 known::START;
    "packets" packets 0 known::COUNTERS;
    "bytes" bytes 0 known::COUNTERS;
    "ts_ns" ts_ns 0 known::TIME;
}

const _: () = assert!(offset_of!(Record, reserved) <= SUM_WORD * 8);
const _: () = assert!(at::FIELD_TABLE + FIELDS.len() * FIELD_BYTES <= HEADER_BYTES);

/// FNV-1a over every entry of [`FIELDS`]: equal only if both sides mean the same record.
#[must_use]
pub fn schema_hash() -> u64 {
    fnv1a::hash(FIELDS.iter().flat_map(|entry| {
        let name = entry.name.bytes().map(u64::from);
        name.chain(entry.numbers().map(u64::from))
    }))
}

/// The number of slots, as a power of two, that fits into a file of this size.
///
/// `None` if not even the smallest ring fits, or the size is beyond the largest.
#[must_use]
pub fn slots_log2_for(file_bytes: u64) -> Option<u32> {
    let slots = file_bytes.checked_sub(HEADER_BYTES as u64)? / SLOT_BYTES as u64;
    slots
        .checked_ilog2()
        .filter(|log2| SLOTS_LOG2.contains(log2))
}
