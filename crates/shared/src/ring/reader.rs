//! The reading end: a private cursor over another process's ring. It writes nothing, cannot slow the
//! writer down, and reports exactly how many records it missed when it was too slow. It believes only root and
//! its own user, and notices when the ring is damaged under its hands.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::atomic::fence;
use std::time::Duration;

use nix::unistd::Uid;
use nix::unistd::geteuid;

use super::RingError;
use super::RingName;
use super::doorbell;
use super::header::Header;
use super::layout::HEADER_BYTES;
use super::layout::SLOT_WORDS;
use super::layout::SUM_SINCE_MINOR;
use super::layout::SUM_WORD;
use super::layout::State;
use super::layout::at;
use super::lock;
use super::map::RingMap;
use super::place;
use super::slot;
use super::slot::Found;
use crate::kernel;
use crate::record::wire::Record;

/// What the cursor found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next record.
    Record(Record),
    /// This many records were overwritten before they were read.
    Lost(u64),
    /// Nothing more for now.
    Empty,
}

/// Will anything follow?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// It is alive.
    Alive,
    /// It ended and closed the ring.
    Closed,
    /// It ended without closing the ring.
    Died,
}

/// An open ring.
pub struct Reader {
    name: RingName,
    map: RingMap,
    file: File,
    header: Header,
    position: u64,
    /// Whether the last word of a slot is the sum of the others.
    has_sums: bool,
    /// Whether a slot was found as no writer leaves it.
    is_damaged: bool,
}

impl Reader {
    /// Opens a ring at its oldest record, or, if records were overwritten already, at the oldest that the writer
    /// will not overwrite next.
    ///
    /// # Errors
    /// A [`RingError`] that names what is wrong with the file.
    pub fn open(name: &RingName) -> Result<Self, RingError> {
        let (file, meta) = place::open(name, false)?;
        let owner = Uid::from_raw(meta.uid());
        if !owner.is_root() && owner != geteuid() {
            return Err(RingError::Owner {
                name: name.to_string(),
                owner: meta.uid(),
            });
        }
        let file_bytes = meta.size();
        if file_bytes < HEADER_BYTES as u64 {
            return Err(RingError::Truncated {
                name: name.to_string(),
                found: file_bytes,
                expected: HEADER_BYTES as u64,
            });
        }
        let map = |bytes| RingMap::read_only(&file, bytes).map_err(RingError::io("map ring", name));
        let head_only = map(HEADER_BYTES)?;
        let boot_id = kernel::boot_id().map_err(RingError::io("boot id for", name))?;
        let load = |at| head_only.load(at);
        let header = Header::parse(&name.to_string(), file_bytes, boot_id, load)?;
        let minor = (head_only.load(at::ABI) >> 32) as u16;
        let map = map(header.file_bytes())?;
        let mut reader = Self {
            name: name.clone(),
            map,
            file,
            header,
            position: 0,
            has_sums: minor >= SUM_SINCE_MINOR,
            is_damaged: false,
        };
        let head = reader.head();
        if head > reader.slots() {
            reader.position = reader.oldest(head);
        }
        if reader.sequence() > 2 * reader.position + 2 {
            // A writer that was killed in the middle of a record had begun to overwrite this one.
            reader.position += 1;
        }
        Ok(reader)
    }

    /// The constant part of the ring's header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Name of the ring.
    #[must_use]
    pub fn name(&self) -> &RingName {
        &self.name
    }

    /// The next record, or why there is none. In a damaged ring nothing follows: [`Reader::writer`] reports that.
    pub fn advance(&mut self) -> Next {
        let mut words = [0; SLOT_WORDS];
        match slot::read(self.slot(), self.position, &mut words) {
            Found::Record if words[SUM_WORD] == slot::sum(&words) || !self.has_sums => {
                words[SUM_WORD] = 0;
                self.position += 1;
                Next::Record(zerocopy::transmute!(words))
            }
            Found::Record => {
                self.is_damaged = true;
                Next::Empty
            }
            Found::NotYet => Next::Empty,
            Found::Overwritten => self.skip_overwritten(),
        }
    }

    #[cold]
    fn skip_overwritten(&mut self) -> Next {
        // Whoever sees the slot taken by a later record also sees the head that was stored before that
        // record's predecessor began: at most one less than the later record's number.
        fence(Ordering::Acquire);
        let head = self.head();
        if head + 1 < self.position + self.slots() {
            self.is_damaged = true;
            return Next::Empty;
        }
        let resume = self.oldest(head).max(self.position + 1);
        let lost = resume - self.position;
        self.position = resume;
        Next::Lost(lost)
    }

    /// Sleeps until a record is published or the timeout expires; may return early for any reason.
    pub fn wait(&self, timeout: Duration) {
        let word = self.map.header_u32(at::DOORBELL);
        let seen = word.load(Ordering::Relaxed);
        // The check comes after the load: a record published in between changes the word, and wait returns.
        fence(Ordering::Acquire);
        if self.head() <= self.position && !self.is_closed() {
            doorbell::wait(word, seen, timeout);
        }
    }

    /// Is the writer alive? Ask before the last [`Reader::advance`], not after it.
    ///
    /// # Errors
    /// [`RingError::Damaged`] if another process cut or overwrote the file.
    pub fn writer(&self) -> Result<Writer, RingError> {
        let writer = if self.is_closed() {
            Writer::Closed
        } else if lock::is_held(&self.file) {
            Writer::Alive
        } else if self.is_closed() {
            // It closed the ring between the two checks above.
            Writer::Closed
        } else {
            Writer::Died
        };
        let is_whole = self.map.is_whole(&self.file);
        if is_whole.map_err(RingError::io("look at ring", &self.name))? && !self.is_damaged() {
            Ok(writer)
        } else {
            Err(RingError::Damaged(self.name.to_string()))
        }
    }

    /// Has a slot, or the head, something that no writer leaves there?
    fn is_damaged(&self) -> bool {
        let head = self.head();
        // The head is stored after the record, so it may be one behind; and what is below it is complete.
        let is_behind = head + 1 < self.position;
        let is_missing = head > self.position && self.sequence() < 2 * self.position + 2;
        self.is_damaged || is_behind || is_missing
    }

    /// The slot of the next record.
    fn slot(&self) -> &[AtomicU64; SLOT_WORDS] {
        let index = self.position & (self.slots() - 1);
        self.map.slot(index as usize)
    }

    /// The sequence number in that slot.
    fn sequence(&self) -> u64 {
        self.slot()[0].load(Ordering::Relaxed)
    }

    /// The oldest record that can still be read when `head` have been published, at least a whole ring.
    fn oldest(&self, head: u64) -> u64 {
        let slots = self.slots();
        // A quarter of the ring ahead of a living writer, or it would overwrite the next record, too.
        let is_written = !self.is_closed() && lock::is_held(&self.file);
        let margin = if is_written { slots / 4 } else { 0 };
        head.saturating_sub(slots - margin)
    }

    fn slots(&self) -> u64 {
        1 << self.header.slots_log2
    }

    fn head(&self) -> u64 {
        self.map.load(at::HEAD)
    }

    fn is_closed(&self) -> bool {
        self.map.load(at::STATE) == State::Closed as u64
    }
}
