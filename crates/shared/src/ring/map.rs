//! A ring file in memory, as atomic words: the only place that turns mapped bytes into references.
//! Knows sizes, and how a ring begins, but not what the other
//! words mean.
#![expect(
    unsafe_code,
    reason = "shared memory becomes references to atomics here"
)]

use std::fs::File;
use std::io;
use std::slice;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::atomic::fence;

use memmap2::MmapOptions;
use memmap2::MmapRaw;

use super::layout::HEADER_BYTES;
use super::layout::MAGIC;
use super::layout::SLOT_WORDS;
use super::layout::at;
use super::sigbus::Guard;

/// A mapped ring: header and slots. If another process cuts the file short, the words beyond are zero.
pub struct RingMap {
    /// Dropped before the map that it guards.
    guard: Guard,
    map: MmapRaw,
}

impl RingMap {
    /// Maps the first `bytes` of a file for reading and writing.
    ///
    /// # Errors
    /// If the file is shorter, or the system refuses.
    pub fn writable(file: &File, bytes: usize) -> io::Result<Self> {
        check_length(file, bytes)?;
        Self::guarded(MmapOptions::new().len(bytes).populate().map_raw(file)?)
    }

    /// Maps the first `bytes` of a file for reading.
    ///
    /// # Errors
    /// If the file is shorter, or the system refuses.
    pub fn read_only(file: &File, bytes: usize) -> io::Result<Self> {
        check_length(file, bytes)?;
        Self::guarded(MmapOptions::new().len(bytes).map_raw_read_only(file)?)
    }

    fn guarded(map: MmapRaw) -> io::Result<Self> {
        let guard = Guard::new(map.as_ptr().cast(), map.len())?;
        Ok(Self { guard, map })
    }

    /// Is the mapped file as long as the ring, was it so whenever this process used it, and does it begin
    /// like a ring?
    ///
    /// # Errors
    /// If the system does not tell its length.
    pub fn is_whole(&self, file: &File) -> io::Result<bool> {
        let is_long = file.metadata()?.len() >= self.map.len() as u64;
        // No named ring is without a state.
        let is_ring = self.load(at::MAGIC) == MAGIC && self.load(at::STATE) != 0;
        Ok(is_long && is_ring && !self.guard.was_cut())
    }

    /// Loads the word of the header at a byte offset, with all that the writer stored before it.
    ///
    /// # Panics
    /// If the offset is not a word of the header.
    #[must_use]
    pub fn load(&self, at: usize) -> u64 {
        // Relaxed load and fence, for the reason that `slot` gives.
        let word = self.header(at).load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        word
    }

    /// Stores the word of the header at a byte offset, after all that was stored before it. Faults on a
    /// read-only map.
    ///
    /// # Panics
    /// If the offset is not a word of the header.
    pub fn store(&self, at: usize, word: u64) {
        self.header(at).store(word, Ordering::Release);
    }

    fn header(&self, at: usize) -> &AtomicU64 {
        assert!(
            at % 8 == 0 && at + 8 <= HEADER_BYTES,
            "no header word at {at}"
        );
        &self.words()[at / 8]
    }

    /// The half word of the header at a byte offset, for the futex.
    ///
    /// # Panics
    /// If the offset is not a half word of the header.
    #[must_use]
    pub fn header_u32(&self, at: usize) -> &AtomicU32 {
        assert!(
            at % 4 == 0 && at + 4 <= HEADER_BYTES,
            "no header half word at {at}"
        );
        // SAFETY: `at` lies inside the mapping, which is at least a header long.
        let half_word = unsafe { self.map.as_mut_ptr().add(at) };
        // SAFETY: aligned (the mapping is page-aligned, `at` a multiple of 4), live as long as
        // `self`, and accessed by everyone only as an atomic of this size.
        unsafe { AtomicU32::from_ptr(half_word.cast()) }
    }

    /// The slot with this index.
    ///
    /// # Panics
    /// If the ring has no such slot.
    #[must_use]
    pub fn slot(&self, index: usize) -> &[AtomicU64; SLOT_WORDS] {
        let slots = &self.words()[HEADER_BYTES / 8..];
        slots[index * SLOT_WORDS..]
            .first_chunk()
            .unwrap_or_else(|| panic!("ring has no slot {index}"))
    }

    fn words(&self) -> &[AtomicU64] {
        let first = self.map.as_mut_ptr().cast::<AtomicU64>();
        // SAFETY: the mapping is page-aligned, `len` bytes long and lives as long as `self`; every
        // word of it is accessed only as an atomic, here and (by the ABI) in other processes.
        unsafe { slice::from_raw_parts(first, self.map.len() / 8) }
    }
}

/// A file that is too short from the beginning is no ring.
fn check_length(file: &File, bytes: usize) -> io::Result<()> {
    let length = file.metadata()?.len();
    if bytes < HEADER_BYTES || length < bytes as u64 {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "file is shorter than the ring",
        ));
    }
    Ok(())
}
