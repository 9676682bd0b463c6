//! When to repeat work whose cost grows with the number of connections: at a fixed period, or less
//! often where that would take too much processor time.

use std::time::Duration;
use std::time::Instant;

use nix::time::ClockId;
use nix::time::clock_gettime;

/// Repeated work takes at most this part of a processor's time.
const SHARE: u32 = 50;

/// When work is due.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    period: Duration,
    due: Instant,
}

impl Schedule {
    /// Due at once, and then no more often than this.
    pub fn every(period: Duration) -> Self {
        Self {
            period,
            due: Instant::now(),
        }
    }

    /// Does the work if it is due, and returns the time until it is due again. Unfinished work
    /// returns how soon it wants to go on.
    ///
    /// # Errors
    /// Those of the work.
    pub fn run_if_due(
        &mut self,
        work: impl FnOnce() -> anyhow::Result<Option<Duration>>,
    ) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        if begun >= self.due {
            // Also if it fails: the next attempt may succeed.
            self.due = begun + self.period;
            let used = processor_time();
            let soon = work()?;
            let cost = processor_time().saturating_sub(used);
            self.due = begun + soon.unwrap_or_else(|| interval(self.period, cost));
        }
        Ok(self.due.saturating_duration_since(Instant::now()))
    }
}

fn interval(period: Duration, cost: Duration) -> Duration {
    period.max(cost * SHARE)
}

/// Processor time of the calling thread, system calls included. Elapsed time would also count how
/// long the process was stopped or waited for others.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_takes_long_is_done_less_often() {
        assert_eq!(interval(SECOND, Duration::from_millis(1)), SECOND);
        assert_eq!(interval(SECOND, SECOND), SECOND * SHARE);
    }

    #[test]
    fn work_is_done_when_due_and_soon_again_if_unfinished() {
        let mut schedule = Schedule::every(SECOND);
        let soon = Duration::from_millis(2);
        assert!(schedule.run_if_due(|| Ok(Some(soon))).unwrap() <= soon);
        schedule.due = Instant::now();
        assert!(schedule.run_if_due(|| anyhow::bail!("not now")).is_err());
        let left = schedule.run_if_due(|| panic!("not due")).unwrap();
        assert!(left > soon && left <= SECOND, "{left:?}");
    }

    #[test]
    fn waiting_is_no_work() {
        let mut schedule = Schedule::every(Duration::ZERO);
        let begun = Instant::now();
        let waited = Duration::from_millis(50);
        let wait = || {
            thread::sleep(waited);
            Ok(None)
        };
        schedule.run_if_due(wait).unwrap();
        let planned = schedule.due - begun;
        assert!(planned < waited * SHARE / 2, "{planned:?}");
    }
}
