//! By how much CLOCK_REALTIME has differed from CLOCK_MONOTONIC, and when: turns the monotonic time of
//! an event into the time of day that the clock showed then. Pure.
//!
//! The kernel slews both clocks alike, so they differ by a constant until someone sets the clock or the
//! machine was suspended. Between the last reading before such a step and the first one after it nobody
//! can tell which difference was valid.

use std::collections::VecDeque;

/// Steps that are remembered; of an event before the oldest of them the time is not known.
const EPOCHS: usize = 32;
/// A change of the difference that is no step: the clocks are not read at the same moment.
const SAME_NS: u64 = 100_000;

/// CLOCK_REALTIME, read between two readings of CLOCK_MONOTONIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub mono_before_ns: u64,
    pub realtime_ns: u64,
    pub mono_after_ns: u64,
}

impl Reading {
    /// How far apart the two readings of CLOCK_MONOTONIC are.
    pub const fn width_ns(&self) -> u64 {
        self.mono_after_ns.saturating_sub(self.mono_before_ns)
    }

    /// CLOCK_REALTIME less CLOCK_MONOTONIC, right to half the width.
    const fn offset_ns(&self) -> i64 {
        let mono_ns = self.mono_before_ns + self.width_ns() / 2;
        self.realtime_ns.wrapping_sub(mono_ns) as i64
    }
}

/// A time without a step.
#[derive(Debug)]
struct Epoch {
    /// No step from here on; earlier than `from_ns` if the difference has drifted.
    unbroken_since_ns: u64,
    from_ns: u64,
    until_ns: u64,
    /// The narrowest reading.
    best: Reading,
}

/// The differences of the recent past.
#[derive(Debug)]
pub struct ClockHistory {
    epochs: VecDeque<Epoch>,
    last: Reading,
}

impl ClockHistory {
    /// Begins with a first reading. Of an event before it the time is not known.
    pub fn new(first: Reading) -> Self {
        Self {
            epochs: VecDeque::from([Epoch::after_step(first)]),
            last: first,
        }
    }

    /// Adds a reading. `was_set` says that the clock was set since the one before, even if it shows
    /// the same difference again.
    pub fn add(&mut self, reading: Reading, was_set: bool) {
        let is_near = |other: &Reading| {
            let uncertain_ns = (other.width_ns() + reading.width_ns()) / 2;
            other.offset_ns().abs_diff(reading.offset_ns()) <= SAME_NS + uncertain_ns
        };
        let follows = is_near(&self.last) && !was_set;
        self.last = reading;
        let drifted = match self.epochs.back_mut() {
            Some(epoch) if follows => {
                epoch.until_ns = epoch.until_ns.max(reading.mono_before_ns);
                if is_near(&epoch.best) {
                    if reading.width_ns() < epoch.best.width_ns() {
                        epoch.best = reading;
                    }
                    return;
                }
                Epoch {
                    unbroken_since_ns: epoch.unbroken_since_ns,
                    from_ns: epoch.until_ns,
                    until_ns: epoch.until_ns,
                    best: reading,
                }
            }
            _ => Epoch::after_step(reading),
        };
        if self.epochs.len() == EPOCHS {
            self.epochs.pop_front();
        }
        self.epochs.push_back(drifted);
    }

    /// Until when it is known whether there was a step.
    pub fn until_ns(&self) -> u64 {
        self.epochs.back().map_or(0, |epoch| epoch.until_ns)
    }

    /// What CLOCK_REALTIME showed at a CLOCK_MONOTONIC time. `None` if a step may lie between `since_ns`
    /// and that time, or between that time and the readings around it.
    pub fn realtime_ns(&self, since_ns: u64, mono_ns: u64) -> Option<u64> {
        self.epochs
            .iter()
            .rev()
            .find(|epoch| epoch.from_ns <= mono_ns)
            .filter(|epoch| mono_ns <= epoch.until_ns && epoch.unbroken_since_ns <= since_ns)
            .map(|epoch| mono_ns.wrapping_add_signed(epoch.best.offset_ns()))
    }
}

impl Epoch {
    /// The clock was read at some moment of the reading, so what it showed is certain from its end on,
    /// and until its beginning: for no moment yet.
    const fn after_step(first: Reading) -> Self {
        Self {
            unbroken_since_ns: first.mono_after_ns,
            from_ns: first.mono_after_ns,
            until_ns: first.mono_before_ns,
            best: first,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::proptest;

    use super::*;

    const HOUR_NS: u64 = 3_600_000_000_000;
    const DAY_NS: u64 = 24 * HOUR_NS;

    /// A reading of 100 ns at a moment when the clocks differ by so much.
    fn reading(mono_ns: u64, offset_ns: u64) -> Reading {
        Reading {
            mono_before_ns: mono_ns - 50,
            realtime_ns: mono_ns + offset_ns,
            mono_after_ns: mono_ns + 50,
        }
    }

    fn history(readings: &[(u64, u64)]) -> ClockHistory {
        let (mono_ns, offset_ns) = readings[0];
        let mut history = ClockHistory::new(reading(mono_ns, offset_ns));
        for (mono_ns, offset_ns) in &readings[1..] {
            history.add(reading(*mono_ns, *offset_ns), false);
        }
        history
    }

    fn at(history: &ClockHistory, mono_ns: u64) -> Option<u64> {
        history.realtime_ns(mono_ns, mono_ns)
    }

    #[test]
    fn before_and_after_a_step_each_event_has_the_time_of_its_moment() {
        for stepped in [DAY_NS + HOUR_NS, DAY_NS - HOUR_NS] {
            let history = history(&[
                (1_000, DAY_NS),
                (2_000, DAY_NS),
                (3_000, stepped),
                (9_000, stepped),
            ]);
            assert_eq!(at(&history, 1_500), Some(DAY_NS + 1_500));
            assert_eq!(at(&history, 2_500), None, "before or after the step?");
            assert_eq!(at(&history, 5_000), Some(stepped + 5_000));
        }
    }

    #[test]
    fn what_no_reading_encloses_is_not_known() {
        let mut history = history(&[(1_000, DAY_NS)]);
        assert_eq!(at(&history, 1_000), None);
        history.add(reading(2_000, DAY_NS), false);
        assert_eq!(history.until_ns(), 1_950);
        let known = [900, 1_049, 1_050, 1_950, 1_951].map(|mono_ns| at(&history, mono_ns));
        let day = |mono_ns| Some(DAY_NS + mono_ns);
        assert_eq!(known, [None, None, day(1_050), day(1_950), None]);
    }

    #[test]
    fn a_clock_set_forth_and_back_between_two_readings_is_not_trusted() {
        let mut history = history(&[(1_000, DAY_NS), (2_000, DAY_NS)]);
        history.add(reading(3_000, DAY_NS), true);
        history.add(reading(4_000, DAY_NS), false);
        let known = [1_500, 2_500, 3_500].map(|mono_ns| at(&history, mono_ns));
        assert_eq!(known, [Some(DAY_NS + 1_500), None, Some(DAY_NS + 3_500)]);
    }

    #[test]
    fn an_event_of_some_time_before_its_report_has_no_time_if_a_step_may_lie_between() {
        let stepped = DAY_NS + HOUR_NS;
        let history = history(&[
            (1_000, DAY_NS),
            (2_000, DAY_NS),
            (3_000, stepped),
            (9_000, stepped),
        ]);
        assert_eq!(history.realtime_ns(1_500, 5_000), None);
        assert_eq!(history.realtime_ns(4_000, 5_000), Some(stepped + 5_000));
    }

    #[test]
    fn a_drift_is_followed_without_a_gap() {
        // 50 microseconds for each reading, ten milliseconds in all.
        let readings: Vec<_> = (1..200)
            .map(|at| (at * 1_000_000, DAY_NS + at * 50_000))
            .collect();
        let history = history(&readings);
        for mono_ns in (190_000_000..199_000_000).step_by(12_345) {
            let right_ns = mono_ns + DAY_NS + mono_ns / 20;
            let ours_ns = history.realtime_ns(2_000_000, mono_ns).unwrap();
            assert!(ours_ns.abs_diff(right_ns) < 200_000, "at {mono_ns}");
        }
    }

    #[test]
    fn a_wide_reading_is_no_step_and_a_narrow_one_is_better() {
        let wide = Reading {
            mono_before_ns: 1_000_000,
            realtime_ns: DAY_NS + 1_000_000,
            mono_after_ns: 3_000_000,
        };
        let mut history = ClockHistory::new(wide);
        history.add(reading(4_000_000, DAY_NS), false);
        assert_eq!(at(&history, 3_500_000), Some(DAY_NS + 3_500_000));
    }

    #[test]
    fn the_oldest_steps_are_forgotten() {
        let readings: Vec<_> = (1..200).map(|at| (at * 1_000, at * HOUR_NS)).collect();
        let history = history(&readings);
        assert_eq!(history.epochs.len(), EPOCHS);
        assert_eq!(at(&history, 1_050), None);
    }

    proptest! {
        /// Any clock that is set now and then, any readings: a time is right or not known, and only of
        /// an event between two readings with a step between them it is not known.
        #[test]
        fn a_time_is_right_or_not_known(
            moves in vec((1_000_u64..1_000_000, 0_u8..4, 0_u64..DAY_NS), 2..40),
        ) {
            let mut clock = DAY_NS;
            let mut mono_ns = 1_000_000;
            let mut events = Vec::new();
            let mut history = ClockHistory::new(reading(mono_ns, clock));
            let (mut was_set, mut batch) = (false, Vec::new());
            for (passed_ns, what, offset_ns) in moves {
                mono_ns += passed_ns;
                match what {
                    0 => {
                        (clock, was_set) = (offset_ns, true);
                        continue;
                    }
                    1 => {
                        history.add(reading(mono_ns, clock), was_set);
                        events.extend(batch.drain(..).map(|event| (event, was_set)));
                        was_set = false;
                    }
                    _ => batch.push((mono_ns, mono_ns + clock)),
                }
            }
            mono_ns += 1_000;
            history.add(reading(mono_ns, clock), was_set);
            events.extend(batch.drain(..).map(|event| (event, was_set)));
            for ((mono_ns, right_ns), is_doubtful) in events {
                let ours = at(&history, mono_ns);
                assert_eq!(ours, (!is_doubtful).then_some(right_ns), "at {mono_ns}");
            }
        }
    }
}
