//! When to do again what costs the more the more connections there are: at a fixed pace, or more
//! slowly where that would take too much of the time.

use std::time::Duration;
use std::time::Instant;

/// A chore takes at most this part of the time.
const SHARE: u32 = 50;

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

    /// Done from `begun` to `now`.
    pub fn done(&mut self, begun: Instant, now: Instant) {
        let took = now.saturating_duration_since(begun);
        self.due = begun + self.least.max(took * SHARE);
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
    use super::*;

    #[test]
    fn what_takes_long_is_done_less_often() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::every(second);
        let begun = pace.due;
        assert!(pace.is_due(begun));
        pace.done(begun, begun + Duration::from_millis(1));
        assert_eq!(pace.left(begun), second);
        pace.done(begun, begun + second);
        assert_eq!(pace.left(begun), second * SHARE);
        pace.again(begun, Duration::from_millis(2));
        assert!(pace.is_due(begun + second));
    }
}
