//! The reading end of the BPF ring buffer: records in batches, and a sleep that costs the packet
//! path nothing while we are awake.
#![expect(
    unsafe_code,
    reason = "one word of the programs' data is shared with them"
)]

use std::cell::RefCell;
use std::mem;
use std::mem::offset_of;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::rc::Rc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::sync::atomic::fence;
use std::time::Duration;

use anyhow::Context as _;
use libbpf_rs::MapHandle;
use libbpf_rs::MapMut;
use libbpf_rs::RingBuffer;
use libbpf_rs::RingBufferBuilder;
use memmap2::MmapOptions;
use memmap2::MmapRaw;
use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use shared::record::wire::RECORD_BYTES;
use shared::record::wire::Record;
use shared::stop::Stop;

use super::skel::types;

/// Bytes of a record that a program tells.
const EVENT_BYTES: usize = types::event_size::EVENT_BYTES.0 as usize;
/// Records that one call takes at most: small enough to stay in the cache.
const BATCH: usize = 1024;
/// Period of looking while events come: what an event waits at most, and what a wake-up per event
/// would cost fifty times over.
const AWAKE: Duration = Duration::from_millis(1);
/// So many looks in vain, and we ask to be woken instead.
const LOOKS_BEFORE_SLEEP: u32 = 20;

/// An open ring buffer.
pub struct Events {
    ring: RingBuffer<'static>,
    map: MapHandle,
    /// Where the ring buffer's callback puts what it reads.
    inbox: Rc<RefCell<Vec<Record>>>,
    /// The programs' `.bss`, a mapping of our own.
    data: MmapRaw,
    looks_in_vain: u32,
}

impl Events {
    /// Maps the ring buffer and the programs' data.
    pub(super) fn open(map: &MapMut<'_>, bss: &MapMut<'_>) -> anyhow::Result<Self> {
        let inbox = Rc::new(RefCell::new(Vec::with_capacity(BATCH)));
        let filled = Rc::clone(&inbox);
        let mut builder = RingBufferBuilder::new();
        builder.add(map, move |bytes| {
            filled.borrow_mut().push(whole(bytes));
            0
        })?;
        Ok(Self {
            ring: builder.build().context("map the BPF ring buffer")?,
            map: MapHandle::try_from(map)?,
            inbox,
            data: MmapOptions::new()
                .len(size_of::<types::bss>())
                .map_raw(bss.as_fd().as_raw_fd())
                .context("map the programs' data")?,
            looks_in_vain: 0,
        })
    }

    /// Appends what the programs have told, up to a batch.
    ///
    /// # Errors
    /// If libbpf cannot read the ring buffer.
    pub fn take(&mut self, batch: &mut Vec<Record>) -> anyhow::Result<()> {
        // The callback fills the caller's own vector.
        mem::swap(&mut *self.inbox.borrow_mut(), batch);
        let taken = self.ring.consume_raw_n(BATCH);
        mem::swap(&mut *self.inbox.borrow_mut(), batch);
        if taken < 0 {
            return Err(Errno::from_raw(-taken)).context("read the BPF ring buffer");
        }
        self.looks_in_vain = if taken == 0 {
            self.looks_in_vain + 1
        } else {
            0
        };
        Ok(())
    }

    /// Waits until it is worth looking again, a stop is asked for, or the time is over.
    ///
    /// # Errors
    /// If poll fails.
    pub fn wait(&mut self, stop: &Stop, at_most: Duration) -> anyhow::Result<()> {
        let mut fds = [
            PollFd::new(stop.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.map.as_fd(), PollFlags::POLLIN),
        ];
        if self.looks_in_vain < LOOKS_BEFORE_SLEEP {
            return doze(&mut fds[..1], at_most.min(AWAKE));
        }
        self.sleeps().store(1, Ordering::Relaxed);
        // A program that did not see the flag has told before we look; see `wakeup` in flows.h.
        fence(Ordering::SeqCst);
        // The poll itself looks first: what is there already ends it at once.
        let slept = doze(&mut fds, at_most);
        self.sleeps().store(0, Ordering::Relaxed);
        self.looks_in_vain = 0;
        slept
    }

    fn sleeps(&self) -> &AtomicU32 {
        let at = offset_of!(types::bss, pump_sleeps);
        // SAFETY: `data` is as long as `types::bss`, which has the word at that offset.
        let word = unsafe { self.data.as_mut_ptr().add(at) };
        // SAFETY: the word is aligned in a mapping that lives as long as `self`, and nothing on
        // our side gets at it but through this atomic.
        unsafe { AtomicU32::from_ptr(word.cast()) }
    }
}

/// The record that a program told the first part of.
fn whole(told: &[u8]) -> Record {
    let mut bytes = [0; RECORD_BYTES];
    // The kernel rounds what it hands over up to 8 bytes, and EVENT_BYTES is a multiple of that.
    let length = told.len().min(EVENT_BYTES);
    bytes[..length].copy_from_slice(&told[..length]);
    zerocopy::transmute!(bytes)
}

fn doze(fds: &mut [PollFd<'_>], at_most: Duration) -> anyhow::Result<()> {
    let timeout = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX);
    match poll(fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno).context("wait for events"),
    }
}
