//! The protocol of one slot: a sequence lock whose number also says which record the slot holds.
//! Works on atomics only, of any number of words, so that loom can explore all of it (`--cfg loom`).
//!
//! Record `n` is being written while the first word is `2n + 1`, and complete at `2n + 2`. A
//! reader copies and checks again; it never stores, so its mapping can be read-only.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// What a reader found in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Record `n`, copied whole.
    Record,
    /// Record `n` is not complete yet.
    NotYet,
    /// A later record has taken the slot.
    Overwritten,
}

/// Writes record `number`. `words[0]` is ignored: the sequence number takes its place.
pub fn write<const WORDS: usize>(slot: &[AtomicU64; WORDS], number: u64, words: &[u64; WORDS]) {
    slot[0].store(2 * number + 1, Ordering::Relaxed);
    // A reader that sees a word of this record also sees that the slot no longer holds the old one.
    fence(Ordering::Release);
    for (to, from) in slot.iter().zip(words).skip(1) {
        to.store(*from, Ordering::Relaxed);
    }
    slot[0].store(2 * number + 2, Ordering::Release);
}

/// What the last word of a complete slot is: the sum of all others. Cutting a file leaves zeros, also in a record that
/// is being written at that moment; then the sum is another.
#[must_use]
pub fn sum<const WORDS: usize>(words: &[u64; WORDS]) -> u64 {
    let others = &words[..WORDS - 1];
    others.iter().fold(0, |sum, word| sum.wrapping_add(*word))
}

/// Copies record `number` into `words`, which is meaningless unless [`Found::Record`] comes back.
pub fn read<const WORDS: usize>(
    slot: &[AtomicU64; WORDS],
    number: u64,
    words: &mut [u64; WORDS],
) -> Found {
    let complete = 2 * number + 2;
    let before = slot[0].load(Ordering::Relaxed);
    if before != complete {
        return if before > complete {
            Found::Overwritten
        } else {
            Found::NotYet
        };
    }
    // Relaxed load and fence, not an acquire load: only relaxed loads are defined on memory that
    // is mapped read-only (documentation of `std::sync::atomic`).
    fence(Ordering::Acquire);
    words[0] = complete;
    for (from, to) in slot.iter().zip(words).skip(1) {
        *to = from.load(Ordering::Relaxed);
    }
    fence(Ordering::Acquire);
    if slot[0].load(Ordering::Relaxed) == complete {
        Found::Record
    } else {
        Found::Overwritten
    }
}

#[cfg(all(test, loom))]
mod tests {
    use super::*;
    use loom::sync::Arc;

    /// A slot of three words whose two payload words must always agree.
    fn payload(number: u64) -> [u64; 3] {
        [0, number + 10, number + 10]
    }

    #[test]
    fn no_reader_ever_sees_a_torn_or_wrong_record() {
        loom::model(|| {
            let slot: Arc<[AtomicU64; 3]> = Arc::new([0, 0, 0].map(AtomicU64::new));
            let writer = {
                let slot = Arc::clone(&slot);
                loom::thread::spawn(move || {
                    // A ring of one slot: record 1 overwrites record 0.
                    write(&slot, 0, &payload(0));
                    write(&slot, 1, &payload(1));
                })
            };
            for number in [0, 1] {
                let mut words = [0; 3];
                if read(&slot, number, &mut words) == Found::Record {
                    assert_eq!(words[1..], payload(number)[1..]);
                }
            }
            writer.join().unwrap();
            let mut words = [0; 3];
            assert_eq!(read(&slot, 1, &mut words), Found::Record);
            assert_eq!(read(&slot, 0, &mut words), Found::Overwritten);
        });
    }

    #[test]
    fn a_second_reader_changes_nothing() {
        loom::model(|| {
            let slot: Arc<[AtomicU64; 3]> = Arc::new([0, 0, 0].map(AtomicU64::new));
            let reader = {
                let slot = Arc::clone(&slot);
                loom::thread::spawn(move || {
                    let mut words = [0; 3];
                    if read(&slot, 0, &mut words) == Found::Record {
                        assert_eq!(words[1..], payload(0)[1..]);
                    }
                })
            };
            write(&slot, 0, &payload(0));
            let mut words = [0; 3];
            assert_eq!(read(&slot, 0, &mut words), Found::Record);
            assert_eq!(read(&slot, 1, &mut words), Found::NotYet);
            reader.join().unwrap();
        });
    }
}
