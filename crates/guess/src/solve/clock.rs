//! Deadlines in jiffies by a clock whose frequency and start are unknown. Two deadlines determine the
//! frequency, and every further one must fit.

use std::time::Duration;

/// `CONFIG_HZ` is in this range on every architecture.
const HZ: std::ops::RangeInclusive<i64> = 24..=10_000;
/// A reading may be off by this, because the clock ticks.
const TOLERANCE_JIFFIES: i64 = 4;
/// A virtual machine whose processors wait for each other delivers ticks late, up to this. Deadlines are
/// hundreds of thousands of times as far apart.
const LATE_S: i64 = 2;
/// Deadlines that are closer to each other do not determine the frequency.
const FAR_S: i64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    ahead_s: i64,
    between: (Duration, Duration),
    jiffies: u32,
}

/// The deadlines that a place has held so far.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    first: Option<Reading>,
    hz: Option<i64>,
}

impl Clock {
    /// Notes a deadline, and returns whether it agrees with the earlier ones.
    pub fn agree(&mut self, ahead_s: u32, between: (Duration, Duration), jiffies: u32) -> bool {
        let reading = Reading {
            ahead_s: ahead_s.into(),
            between,
            jiffies,
        };
        let Some(first) = self.first else {
            self.first = Some(reading);
            return true;
        };
        let moved_s = reading.ahead_s - first.ahead_s;
        let moved_jiffies = i64::from(jiffies.wrapping_sub(first.jiffies) as i32);
        // Meanwhile the clock itself advanced, between these bounds.
        let least = millis(between.0) - millis(first.between.1);
        let most = millis(between.1) - millis(first.between.0);
        if self.hz.is_none() && moved_s.abs() >= FAR_S {
            let moved_ms = 1000 * moved_s + (least + most) / 2;
            self.hz = Some(rounded(1000 * moved_jiffies, moved_ms));
        }
        let Some(hz) = self.hz else {
            return true;
        };
        // An impossible frequency may be of any size, so the calculation stops here.
        if !HZ.contains(&hz) {
            return false;
        }
        let tolerance = TOLERANCE_JIFFIES + hz * LATE_S;
        let clock = moved_jiffies - hz * moved_s;
        clock >= hz * least / 1000 - tolerance && clock <= hz * most / 1000 + tolerance
    }
}

fn millis(moment: Duration) -> i64 {
    u32::try_from(moment.as_millis()).map_or(u32::MAX.into(), i64::from)
}

/// The quotient to the nearest whole number; 0 if there is none.
fn rounded(dividend: i64, divisor: i64) -> i64 {
    let half = divisor / 2;
    let nudge = if (dividend < 0) == (divisor < 0) {
        half
    } else {
        -half
    };
    dividend
        .saturating_add(nudge)
        .checked_div(divisor)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel whose clock runs at `hz` and wraps soon.
    fn deadline(hz: u64, ahead_s: u32, now_ms: u64) -> (u32, (Duration, Duration), u32) {
        let now = u64::from(u32::MAX) - 500 + hz * now_ms / 1000;
        let jiffies = (now + hz * u64::from(ahead_s)) as u32;
        let at = Duration::from_millis(now_ms);
        (ahead_s, (at, at + Duration::from_millis(1)), jiffies)
    }

    #[test]
    fn every_frequency_is_determined() {
        for hz in [100, 250, 300, 1000, 1024] {
            let mut clock = Clock::default();
            for (ahead_s, now_ms) in [(700_000, 10), (700_001, 12), (30_000, 14), (999_999, 900)] {
                let (ahead_s, between, jiffies) = deadline(hz, ahead_s, now_ms);
                assert!(clock.agree(ahead_s, between, jiffies), "{hz} {ahead_s}");
            }
            let (ahead_s, between, jiffies) = deadline(hz, 500_000, 905);
            assert!(
                !clock.agree(ahead_s, between, jiffies.wrapping_add(3 * hz as u32)),
                "{hz}"
            );
            assert!(
                !clock.agree(ahead_s, between, jiffies.wrapping_sub(3 * hz as u32)),
                "{hz}"
            );
        }
    }

    #[test]
    fn what_does_not_follow_is_no_deadline() {
        for other in [0_u32, 77, 1 << 31] {
            let mut clock = Clock::default();
            let agreed =
                [(500_000, 1), (900_000, 2), (20_000, 3)]
                    .into_iter()
                    .all(|(ahead_s, now_ms)| {
                        let (ahead_s, between, _) = deadline(250, ahead_s, now_ms);
                        clock.agree(ahead_s, between, other)
                    });
            assert!(!agreed, "{other}");
        }
    }
}
