//! When to do again what costs the more the more connections there are: at a fixed pace, or more
//! slowly where that would take too much of the time.

use std::time::Duration;
use std::time::Instant;

use nix::time::ClockId;
use nix::time::clock_gettime;

/// A chore takes at most this part of a processor's time.
const SHARE: u32 = 50;

/// A chore that is being done.
#[derive(Debug, Clone, Copy)]
pub struct Stint {
    begun: Instant,
    spent_before: Duration,
}

impl Stint {
    /// Begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self {
            begun: Instant::now(),
            spent_before: spent_by_thread(),
        }
    }

    /// When it began.
    #[must_use]
    pub const fn begun(&self) -> Instant {
        self.begun
    }

    /// What it has cost. Not the time that passed: a process that was stopped meanwhile, or had to
    /// wait for others, did not work so long.
    #[must_use]
    pub fn cost(&self) -> Duration {
        spent_by_thread().saturating_sub(self.spent_before)
    }
}

/// Processor time of the calling thread, system calls included; every kernel has this clock.
fn spent_by_thread() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// When a chore is due.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    least: Duration,
    due: Instant,
}

impl Pace {
    /// Due at once, and then no more often than this.
    #[must_use]
    pub fn every(least: Duration) -> Self {
        Self {
            least,
            due: Instant::now(),
        }
    }

    /// Is it time?
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// Done: it was begun then, and took so much work.
    pub fn done(&mut self, begun: Instant, cost: Duration) {
        self.due = begun + self.least.max(cost * SHARE);
    }

    /// Not finished: due again after this.
    pub fn again(&mut self, begun: Instant, soon: Duration) {
        self.due = begun + soon;
    }

    /// Time until it is due.
    #[must_use]
    pub fn left(&self, now: Instant) -> Duration {
        self.due.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_takes_long_is_done_less_often() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::every(second);
        let begun = pace.due;
        assert!(pace.is_due(begun));
        pace.done(begun, Duration::from_millis(1));
        assert_eq!(pace.left(begun), second);
        pace.done(begun, second);
        assert_eq!(pace.left(begun), second * SHARE);
        pace.again(begun, Duration::from_millis(2));
        assert!(pace.is_due(begun + second));
    }

    #[test]
    fn waiting_is_no_work() {
        let stint = Stint::begin();
        thread::sleep(Duration::from_millis(50));
        let (cost, passed) = (stint.cost(), stint.begun().elapsed());
        assert!(cost < passed / 2, "{cost:?} of {passed:?}");
    }
}
