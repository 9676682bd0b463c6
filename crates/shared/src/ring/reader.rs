//! The reading end: a private cursor over another process's ring. It writes nothing, cannot slow the
//! writer down, and reports exactly how many records it missed when it was too slow.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::Ordering;
use std::sync::atomic::fence;
use std::time::Duration;

use super::RingError;
use super::RingName;
use super::doorbell;
use super::header::Header;
use super::layout::HEADER_BYTES;
use super::layout::SLOT_WORDS;
use super::layout::State;
use super::layout::at;
use super::lock;
use super::map::RingMap;
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
}

impl Reader {
    /// Opens a ring at its oldest record.
    ///
    /// # Errors
    /// A [`RingError`] that names what is wrong with the file.
    pub fn open(name: &RingName) -> Result<Self, RingError> {
        let failed = |what, source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => RingError::Missing(name.to_string()),
            _ => RingError::Io {
                what,
                name: name.to_string(),
                source,
            },
        };
        let file = File::open(name.path()).map_err(|error| failed("open ring", error))?;
        let meta = file
            .metadata()
            .map_err(|error| failed("look at ring", error))?;
        if !meta.is_file() {
            return Err(RingError::Foreign(name.to_string()));
        }
        let file_bytes = meta.size();
        if file_bytes < HEADER_BYTES as u64 {
            return Err(RingError::Truncated {
                name: name.to_string(),
                found: file_bytes,
                expected: HEADER_BYTES as u64,
            });
        }
        let map =
            |bytes| RingMap::read_only(&file, bytes).map_err(|error| failed("map ring", error));
        let head_only = map(HEADER_BYTES)?;
        let boot_id = kernel::boot_id().map_err(|error| failed("boot id for", error))?;
        let load = |at| head_only.load(at);
        let header = Header::parse(&name.to_string(), file_bytes, boot_id, load)?;
        let map = map(header.file_bytes())?;
        let mut reader = Self {
            name: name.clone(),
            map,
            file,
            header,
            position: 0,
        };
        reader.position = reader.head().saturating_sub(1 << reader.header.slots_log2);
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

    /// The next record, or why there is none.
    pub fn advance(&mut self) -> Next {
        let mut words = [0; SLOT_WORDS];
        let slots = 1_u64 << self.header.slots_log2;
        let index = (self.position & (slots - 1)) as usize;
        match slot::read(self.map.slot(index), self.position, &mut words) {
            Found::Record => {
                self.position += 1;
                Next::Record(zerocopy::transmute!(words))
            }
            Found::NotYet => Next::Empty,
            Found::Overwritten => {
                // A quarter of the ring ahead of the writer, or it would overwrite the next record, too.
                let resume = self
                    .head()
                    .saturating_sub(slots - slots / 4)
                    .max(self.position + 1);
                let lost = resume - self.position;
                self.position = resume;
                Next::Lost(lost)
            }
        }
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
    #[must_use]
    pub fn writer(&self) -> Writer {
        if self.is_closed() {
            Writer::Closed
        } else if lock::is_held(&self.file) {
            Writer::Alive
        } else if self.is_closed() {
            // It closed the ring between the two checks above.
            Writer::Closed
        } else {
            Writer::Died
        }
    }

    fn head(&self) -> u64 {
        self.map.load(at::HEAD)
    }

    fn is_closed(&self) -> bool {
        self.map.load(at::STATE) == State::Closed as u64
    }
}

/// Process id in the header of a ring file that may be anything.
pub(super) fn writer_pid(file: &File) -> Option<u32> {
    let head = RingMap::read_only(file, HEADER_BYTES).ok()?;
    Some((head.load(at::WRITER) >> 32) as u32)
}
