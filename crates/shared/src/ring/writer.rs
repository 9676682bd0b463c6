//! The writing end: makes the ring's file, publishes records, keeps the loss counters, and marks the
//! ring closed when it ends. It never waits for a reader and never repairs another writer's file.

use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::process;

use nix::fcntl::FallocateFlags;
use nix::fcntl::fallocate;

use super::RingError;
use super::RingName;
use super::claim::Draft;
use super::doorbell;
use super::header::Header;
use super::layout;
use super::layout::MAGIC;
use super::layout::SLOT_WORDS;
use super::layout::SUM_WORD;
use super::layout::Source;
use super::layout::State;
use super::layout::at;
use super::lock;
use super::map::RingMap;
use super::slot;
use crate::clock;
use crate::kernel;
use crate::record::wire::Loss;
use crate::record::wire::Record;

/// A ring that this process writes. Dropping it closes the ring and removes its name.
pub struct Writer {
    name: RingName,
    map: RingMap,
    /// Kept open because its lock is how readers know that the writer is alive.
    file: File,
    slots_mask: u64,
    head: u64,
    rung_head: u64,
}

impl Writer {
    /// Makes a new ring of at most `file_bytes`. It replaces one whose writer is dead.
    ///
    /// # Errors
    /// [`RingError::Busy`] if a running process writes a ring of this name; [`RingError::Occupied`] if something
    /// else has the name; [`RingError::Size`]; or what the system refused, a full `/dev/shm` included. It leaves
    /// no file behind.
    pub fn create(name: &RingName, file_bytes: u64, source: Source) -> Result<Self, RingError> {
        let failed = |what| RingError::io(what, name);
        let slots_log2 = layout::slots_log2_for(file_bytes).ok_or(RingError::Size(file_bytes))?;
        let header = Header {
            slots_log2,
            writer_pid: process::id(),
            source,
            boot_id: kernel::boot_id().map_err(failed("boot id for"))?,
            epoch_ns: clock::realtime_ns().map_err(failed("clock for"))?,
            realtime_offset_ns: clock::realtime_offset_ns().map_err(failed("clock for"))?,
            abi_minor: layout::ABI_MINOR,
        };

        let draft = Draft::beside(name).map_err(failed("create"))?;
        let bytes = header.file_bytes();
        // Allocated now, so that a full tmpfs is noticed now.
        fallocate(
            draft.file(),
            FallocateFlags::empty(),
            0,
            bytes as libc::off_t,
        )
        .map_err(|errno| failed("allocate")(errno.into()))?;
        lock::hold(draft.file()).map_err(failed("lock"))?;
        let map = RingMap::writable(draft.file(), bytes).map_err(failed("map"))?;
        header.compose(|at, word| map.store(at, word));
        map.store(at::STATE, State::Dumping as u64);
        map.store(at::MAGIC, MAGIC);
        let file = draft.publish(name)?;

        let slots_mask = (1 << slots_log2) - 1;
        Ok(Self {
            name: name.clone(),
            map,
            file,
            slots_mask,
            head: 0,
            rung_head: 0,
        })
    }

    /// Publishes one record; its `seq` is ignored. Readers that poll see it at once.
    pub fn push(&mut self, record: &Record) {
        let mut words: [u64; SLOT_WORDS] = zerocopy::transmute!(*record);
        words[0] = 2 * self.head + 2;
        words[SUM_WORD] = slot::sum(&words);
        let slot = self.map.slot((self.head & self.slots_mask) as usize);
        slot::write(slot, self.head, &words);
        self.head += 1;
        self.map.store(at::HEAD, self.head);
    }

    /// Wakes sleeping readers if anything was published since the last time. Once per batch.
    pub fn ring_doorbell(&mut self) {
        if self.rung_head != self.head {
            self.rung_head = self.head;
            doorbell::ring(self.map.header_u32(at::DOORBELL));
        }
    }

    /// Sets the total of one loss counter.
    pub fn set_loss(&self, place: Loss, total: u64) {
        self.map.store(at::LOSSES + 8 * place as usize, total);
    }

    /// Updates the heartbeat to a CLOCK_MONOTONIC time, and looks whether readers still get what is written.
    ///
    /// # Errors
    /// [`RingError::Damaged`] if another process cut or overwrote the file.
    pub fn heartbeat(&self, now_mono_ns: u64) -> Result<(), RingError> {
        self.map.store(at::HEARTBEAT, now_mono_ns);
        match self.map.is_whole(&self.file) {
            Ok(true) => Ok(()),
            Ok(false) => Err(RingError::Damaged(self.name.to_string())),
            Err(error) => Err(RingError::io("look at ring", &self.name)(error)),
        }
    }

    /// Marks the start-up load complete; later records are events as they happen.
    pub fn end_dump(&self) {
        self.map.store(at::STATE, State::Live as u64);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.map.store(at::STATE, State::Closed as u64);
        doorbell::ring(self.map.header_u32(at::DOORBELL));
        // A later writer may own the name by now.
        let inode = |file: io::Result<Metadata>| file.map(|file| (file.dev(), file.ino())).ok();
        let ours = inode(self.file.metadata());
        if ours.is_some() && ours == inode(fs::symlink_metadata(self.name.path())) {
            if let Err(error) = fs::remove_file(self.name.path()) {
                log::warn!("remove ring {}: {error}", self.name);
            }
        }
    }
}
