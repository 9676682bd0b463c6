//! How long each phase of a run takes.

use std::fmt;
use std::time::Duration;
use std::time::Instant;

/// Phases of a run and how long each took.
#[derive(Debug)]
pub struct Timing {
    started: Instant,
    lap: Instant,
    phases: Vec<(&'static str, Duration)>,
}

impl Timing {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            lap: now,
            phases: Vec::new(),
        }
    }

    /// Ends a phase, which began when the last one ended.
    pub fn lap(&mut self, phase: &'static str) {
        let now = Instant::now();
        let took = now - self.lap;
        self.lap = now;
        match self.phases.iter_mut().find(|(known, _)| *known == phase) {
            Some((_, sum)) => *sum += took,
            None => self.phases.push((phase, took)),
        }
    }

    /// Adds the phases of another timing, which was part of this run, and continues where it ended.
    pub fn continue_from(&mut self, other: &Self) {
        self.phases.extend(&other.phases);
        self.lap = other.lap;
    }

    /// Time since the start, in microseconds.
    #[must_use]
    pub fn elapsed_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (phase, took) in &self.phases {
            write!(f, "{phase} {} µs, ", took.as_micros())?;
        }
        write!(f, "total {} µs", self.elapsed_us())
    }
}
