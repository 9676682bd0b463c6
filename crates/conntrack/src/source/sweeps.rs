//! When the table is swept for connections that have ended.

use std::time::Duration;

use super::schedule::Schedule;
use crate::bpf::programs::Programs;

/// Period of the sweep: the longest that the report of an end waits.
const PERIOD: Duration = Duration::from_secs(1);
/// After a sweep that the full ring buffer stopped.
const SOON: Duration = Duration::from_millis(2);

/// Sweeps, which also report what found the ring buffer full.
pub struct Sweeps(Schedule);

impl Sweeps {
    /// The first is due at once.
    pub fn new() -> Self {
        Self(Schedule::every(PERIOD))
    }

    /// Sweeps if it is due, and returns when it will be due again.
    ///
    /// # Errors
    /// If the kernel refuses to run the sweep.
    pub fn run(&mut self, programs: &mut Programs) -> anyhow::Result<Duration> {
        let sweep = || Ok(programs.sweep()?.then_some(SOON));
        self.0.run_if_due(sweep)
    }
}
