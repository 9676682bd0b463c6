//! When the table is swept for connections that have ended, and the record of an end that user space
//! notices.

use std::time::Duration;

use shared::clock::monotonic_ns;
use shared::record::wire::Record;
use shared::record::wire::kind;
use shared::record::wire::known;

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

/// The record of a connection's end, with the present time. Status and mark are those of its last
/// sight, not of its end, so they are not known.
pub fn ended(record: Record) -> Record {
    Record {
        r#type: kind::DESTROY,
        ts_mono_ns: monotonic_ns().unwrap_or(record.ts_mono_ns),
        status: 0,
        mark: 0,
        known: record.known & !(known::STATUS | known::MARK),
        ..record
    }
}
