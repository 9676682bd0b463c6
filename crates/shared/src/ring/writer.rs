//! The writing end: makes the ring's file, publishes records, keeps the loss counters, and says
//! when it ends. It never waits for a reader and never repairs another writer's file.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use nix::fcntl::FallocateFlags;
use nix::fcntl::Flock;
use nix::fcntl::FlockArg;

use super::RingError;
use super::RingName;
use super::doorbell;
use super::header::Header;
use super::layout;
use super::layout::MAGIC;
use super::layout::SLOT_WORDS;
use super::layout::Source;
use super::layout::State;
use super::layout::at;
use super::map::RingMap;
use super::reader;
use super::slot;
use crate::record::wire::Loss;
use crate::record::wire::Record;

/// A ring that this process writes. Dropping it closes the ring and removes its name.
pub struct Writer {
    name: RingName,
    map: RingMap,
    /// Open as long as we live: the lock on it is how readers know that we do.
    file: File,
    slots_mask: u64,
    head: u64,
    rung_head: u64,
}

impl Writer {
    /// Makes a new ring of at most `file_bytes` and puts it in the place of a dead one.
    ///
    /// # Errors
    /// [`RingError::Busy`] if a living process writes a ring of this name; [`RingError::Size`];
    /// or what the system refused, a full `/dev/shm` included. No file is left behind then.
    pub fn create(name: &RingName, file_bytes: u64, source: Source) -> Result<Self, RingError> {
        let failed = |what| {
            move |source| RingError::Io {
                what,
                name: name.to_string(),
                source,
            }
        };
        let slots_log2 = layout::slots_log2_for(file_bytes).ok_or(RingError::Size(file_bytes))?;
        let header = Header {
            slots_log2,
            writer_pid: std::process::id(),
            writer_start_ticks: super::identity::start_ticks().map_err(failed("start time for"))?,
            source,
            boot_id: super::identity::boot_id().map_err(failed("boot id for"))?,
            epoch_ns: super::identity::realtime_ns().map_err(failed("clock for"))?,
            realtime_offset_ns: super::identity::realtime_offset_ns()
                .map_err(failed("clock for"))?,
        };

        // Two writers that start at once must not both find the name free.
        let directory = File::open(name.directory()).map_err(failed("open the directory of"))?;
        let _starting_alone = Flock::lock(directory, FlockArg::LockExclusive)
            .map_err(|(_, errno)| failed("lock the directory of")(errno.into()))?;
        refuse_if_written(name)?;

        let unfinished = Unfinished::create(name).map_err(failed("create"))?;
        let bytes = header.file_bytes();
        // Allocated now: a sparse file on a full tmpfs would kill us with SIGBUS later.
        nix::fcntl::fallocate(
            &unfinished.file,
            FallocateFlags::empty(),
            0,
            bytes as libc::off_t,
        )
        .map_err(|errno| failed("allocate")(errno.into()))?;
        super::lock::hold(&unfinished.file).map_err(failed("lock"))?;
        let map = RingMap::writable(&unfinished.file, bytes).map_err(failed("map"))?;
        header.compose(|at, word| map.header(at).store(word, Ordering::Relaxed));
        map.header(at::STATE)
            .store(State::Dumping as u64, Ordering::Relaxed);
        map.header(at::MAGIC).store(MAGIC, Ordering::Release);
        let file = unfinished.publish(name).map_err(failed("rename"))?;

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

    /// Records published so far.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Publishes one record; its `seq` is ignored. Readers that poll see it at once.
    pub fn push(&mut self, record: &Record) {
        let words: [u64; SLOT_WORDS] = zerocopy::transmute!(*record);
        slot::write(
            self.map.slot((self.head & self.slots_mask) as usize),
            self.head,
            &words,
        );
        self.head += 1;
        self.map
            .header(at::HEAD)
            .store(self.head, Ordering::Release);
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
        self.map
            .header(at::LOSSES + 8 * place as usize)
            .store(total, Ordering::Relaxed);
    }

    /// A sign of life, at a CLOCK_MONOTONIC time.
    pub fn heartbeat(&self, now_mono_ns: u64) {
        self.map
            .header(at::HEARTBEAT)
            .store(now_mono_ns, Ordering::Relaxed);
    }

    /// Marks the records published from here on as the start-up load.
    pub fn begin_dump(&self) {
        self.map
            .header(at::DUMP_BEGIN)
            .store(self.head, Ordering::Relaxed);
    }

    /// The start-up load is complete; what follows happens now.
    pub fn end_dump(&self) {
        self.map
            .header(at::DUMP_END)
            .store(self.head, Ordering::Relaxed);
        self.map
            .header(at::STATE)
            .store(State::Live as u64, Ordering::Release);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.map
            .header(at::STATE)
            .store(State::Closed as u64, Ordering::Release);
        doorbell::ring(self.map.header_u32(at::DOORBELL));
        // A writer that came after us may own the name by now.
        let ours = self
            .file
            .metadata()
            .map(|meta| (meta.dev(), meta.ino()))
            .ok();
        let named = fs::metadata(self.name.path())
            .map(|meta| (meta.dev(), meta.ino()))
            .ok();
        if ours.is_some() && ours == named {
            if let Err(error) = fs::remove_file(self.name.path()) {
                log::warn!("remove ring {}: {error}", self.name);
            }
        }
    }
}

fn refuse_if_written(name: &RingName) -> Result<(), RingError> {
    let Ok(file) = File::open(name.path()) else {
        return Ok(());
    };
    if !super::lock::is_held(&file) {
        return Ok(());
    }
    let pid = reader::writer_pid(&file).unwrap_or(0);
    Err(RingError::Busy {
        name: name.to_string(),
        pid,
    })
}

/// A file that is removed again unless it is published.
struct Unfinished {
    path: PathBuf,
    file: File,
    published: bool,
}

impl Unfinished {
    fn create(name: &RingName) -> io::Result<Self> {
        let file_name = name
            .path()
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let path = name
            .directory()
            .join(format!(".{file_name}.{}", std::process::id()));
        // Left by a killed process that had our id: nobody else can own this name.
        let _ = fs::remove_file(&path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok(Self {
            path,
            file,
            published: false,
        })
    }

    fn publish(mut self, name: &RingName) -> io::Result<File> {
        fs::rename(&self.path, name.path())?;
        self.published = true;
        self.file.try_clone()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_file(&self.path);
        }
    }
}
