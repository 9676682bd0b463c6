//! The reading end of the BPF ring buffer: one record at a time, straight to the sink, and a sleep
//! that costs the packet path nothing while we are awake.
#![expect(
    unsafe_code,
    reason = "one word of the programs' data is shared with them"
)]

use std::cell::RefCell;
use std::mem::offset_of;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
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
use shared::record::wire::Record;
use zerocopy::IntoBytes as _;

use super::skel::types;
use crate::sink::Sink;
use crate::sink::wait;

/// Bytes of a record that a program fills.
const EVENT_BYTES: usize = types::event_size::EVENT_BYTES.0 as usize;
/// Records that one call reads at most, so that readers of the ring are woken in between.
const BATCH: usize = 1024;
/// Polling period while events come: the longest that an event waits. A wake-up for each event
/// would cost fifty times as much.
const AWAKE: Duration = Duration::from_millis(1);
/// After so many polls without an event we sleep until a program wakes us.
const POLLS_BEFORE_SLEEP: u32 = 20;

/// An open ring buffer.
pub struct Events {
    ring: RingBuffer<'static>,
    map: MapHandle,
    /// The record that the callback has copied. What programs do not fill stays zero.
    current: Rc<RefCell<Record>>,
    /// Our own mapping of the programs' `.bss`.
    data: MmapRaw,
    empty_polls: u32,
}

impl Events {
    /// Maps the ring buffer and the programs' data.
    pub(super) fn open(map: &MapMut<'_>, bss: &MapMut<'_>) -> anyhow::Result<Self> {
        let current = Rc::new(RefCell::new(Record::BLANK));
        let copy = Rc::clone(&current);
        let mut builder = RingBufferBuilder::new();
        builder.add(map, move |bytes| {
            // The kernel rounds the length up to 8 bytes, and EVENT_BYTES is a multiple of that.
            let length = bytes.len().min(EVENT_BYTES);
            copy.borrow_mut().as_mut_bytes()[..length].copy_from_slice(&bytes[..length]);
            0
        })?;
        Ok(Self {
            ring: builder.build().context("map the BPF ring buffer")?,
            map: MapHandle::try_from(map)?,
            current,
            data: MmapOptions::new()
                .len(size_of::<types::bss>())
                .map_raw(bss.as_fd().as_raw_fd())
                .context("map the programs' data")?,
            empty_polls: 0,
        })
    }

    /// Passes on what the programs have reported, up to a batch; `false` if there was nothing.
    ///
    /// # Errors
    /// If libbpf cannot read the ring buffer.
    pub fn take(&mut self, sink: Sink<'_>) -> anyhow::Result<bool> {
        let mut taken = 0;
        while taken < BATCH {
            // One at a time: the callback cannot borrow a sink that lives only for this call.
            match self.ring.consume_raw_n(1) {
                0 => break,
                errno @ ..0 => {
                    return Err(Errno::from_raw(-errno)).context("read the BPF ring buffer");
                }
                _ => sink(&self.current.borrow()),
            }
            taken += 1;
        }
        self.empty_polls = if taken == 0 { self.empty_polls + 1 } else { 0 };
        Ok(taken > 0)
    }

    /// Waits until it is time to read again, `wake` is readable, or the time is over.
    ///
    /// # Errors
    /// If poll fails.
    pub fn wait(&mut self, wake: BorrowedFd<'_>, at_most: Duration) -> anyhow::Result<()> {
        let mut fds = [
            PollFd::new(wake, PollFlags::POLLIN),
            PollFd::new(self.map.as_fd(), PollFlags::POLLIN),
        ];
        if self.empty_polls < POLLS_BEFORE_SLEEP {
            return wait(&mut fds[..1], at_most.min(AWAKE));
        }
        self.pump_sleeps().store(1, Ordering::Relaxed);
        // A program that did not see the flag has reported before this poll, which returns at once
        // if something is there; see `wakeup_flag` in bpf/include/emission.h.
        fence(Ordering::SeqCst);
        let slept = wait(&mut fds, at_most);
        self.pump_sleeps().store(0, Ordering::Relaxed);
        self.empty_polls = 0;
        slept
    }

    fn pump_sleeps(&self) -> &AtomicU32 {
        let at = offset_of!(types::bss, pump_sleeps);
        // SAFETY: `data` is as long as `types::bss`, which has the word at that offset.
        let word = unsafe { self.data.as_mut_ptr().add(at) };
        // SAFETY: the word is aligned in a mapping that lives as long as `self`, and this process
        // accesses it only through this atomic.
        unsafe { AtomicU32::from_ptr(word.cast()) }
    }
}
