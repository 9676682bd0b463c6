//! Gives records the time of day. Reads both clocks, notices when the clock is set or the machine
//! was suspended, and wakes the pump then, so that few events lie near a step unread.

use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::ClockId;
use nix::sys::timerfd::Expiration;
use nix::sys::timerfd::TimerFd;
use nix::sys::timerfd::TimerFlags;
use nix::sys::timerfd::TimerSetTimeFlags;
use shared::clock::monotonic_ns;
use shared::clock::realtime_ns;
use shared::record::wire::Record;
use shared::record::wire::kind;
use shared::record::wire::known;
use shared::ring::layout::Source;

use crate::clock_history::ClockHistory;
use crate::clock_history::Reading;

/// A timer has to expire some day; this one does so in the year 2255.
const NEVER_S: i64 = 9_000_000_000;
/// A reading that is this narrow is good enough; else the scheduler came between.
const NARROW_NS: u64 = 10_000;
/// Readings until the narrowest is taken.
const ATTEMPTS: u32 = 4;

/// CLOCK_REALTIME at any recent CLOCK_MONOTONIC time.
pub struct WallClock {
    history: ClockHistory,
    /// Becomes readable when someone sets the clock, and after a suspend.
    set: TimerFd,
    /// When the source had nothing to report for the last time.
    idle_ns: u64,
    untimed: u64,
}

impl WallClock {
    /// Starts to watch. Events before that have no time.
    ///
    /// # Errors
    /// If a clock cannot be read, or the kernel does not report that it is set.
    pub fn open() -> anyhow::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let set = TimerFd::new(ClockId::CLOCK_REALTIME, flags).context("watch the clock")?;
        let flags =
            TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        set.set(Expiration::OneShot(TimeSpec::new(NEVER_S, 0)), flags)
            .context("watch the clock")?;
        let first = read()?;
        Ok(Self {
            history: ClockHistory::new(first),
            set,
            idle_ns: first.mono_after_ns,
            untimed: 0,
        })
    }

    /// Compares the clocks; the pump does so between any two batches. Returns CLOCK_MONOTONIC.
    ///
    /// # Errors
    /// If a clock cannot be read.
    pub fn compare(&mut self) -> anyhow::Result<u64> {
        // First: a step that follows shows in the reading, or here the next time.
        let was_set = match self.set.wait() {
            Ok(()) => true,
            Err(Errno::EAGAIN) => false,
            Err(errno) => return Err(errno).context("watch the clock"),
        };
        let reading = read()?;
        self.history.add(reading, was_set);
        Ok(reading.mono_before_ns)
    }

    /// Notes that at this CLOCK_MONOTONIC time, or later, everything was reported.
    pub fn idle_at(&mut self, mono_ns: u64) {
        self.idle_ns = mono_ns;
    }

    /// The record with its time, or without if the clock was set and nobody knows whether before or
    /// after the event.
    pub fn stamp(&mut self, record: &Record, source: Source) -> Record {
        let mono_ns = record.ts_mono_ns;
        if mono_ns > self.history.until_ns() {
            if let Err(error) = self.compare() {
                log::debug!("{error:#}");
            }
        }
        // ctnetlink does not say when: these records have the time at which they were read.
        let is_of_reading =
            source == Source::Netlink && !matches!(record.r#type, kind::DUMP | kind::LOSS);
        let since_ns = if is_of_reading {
            self.idle_ns.min(mono_ns)
        } else {
            mono_ns
        };
        let ts_ns = self.history.realtime_ns(since_ns, mono_ns);
        self.untimed += u64::from(ts_ns.is_none());
        Record {
            ts_ns: ts_ns.unwrap_or(0),
            known: match ts_ns {
                Some(_) => record.known | known::TIME,
                None => record.known & !known::TIME,
            },
            ..*record
        }
    }

    /// How many records since the last call have no time.
    pub fn take_untimed(&mut self) -> u64 {
        std::mem::take(&mut self.untimed)
    }
}

/// Readable once the clock was set; [`WallClock::compare`] makes it wait for the next time.
impl AsFd for WallClock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

fn read() -> anyhow::Result<Reading> {
    let mut best: Option<Reading> = None;
    for _ in 0..ATTEMPTS {
        let mono_before_ns = monotonic_ns().context("read the clock")?;
        let realtime_ns = realtime_ns().context("read the clock")?;
        let reading = Reading {
            mono_before_ns,
            realtime_ns,
            mono_after_ns: monotonic_ns().context("read the clock")?,
        };
        if best.is_none_or(|best| reading.width_ns() < best.width_ns()) {
            best = Some(reading);
        }
        if reading.width_ns() <= NARROW_NS {
            break;
        }
    }
    best.context("read the clock")
}
