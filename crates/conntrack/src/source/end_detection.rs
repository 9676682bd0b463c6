//! How a BPF source learns that a connection has ended: by a sweep of the table in BPF or, where the
//! kernel is too old for that, by a hook of the programs or ctnetlink's destroy events.

use std::time::Duration;

use super::destroy_events::DestroyEvents;
use super::schedule::Schedule;
use crate::bpf::programs::Programs;
use crate::bpf::table::FlowTable;
use crate::ctnetlink::scope::Scope;
use crate::sink::Sink;

/// Period of the sweep: the longest that the report of an end waits.
const PERIOD: Duration = Duration::from_secs(1);
/// After a sweep that the full ring buffer stopped.
const SOON: Duration = Duration::from_millis(2);

/// What this kernel allows.
pub enum EndDetection {
    /// The sweep.
    Sweep(Schedule),
    /// Destroy events of our own namespace.
    Netlink(Box<DestroyEvents>),
    /// A hook of the programs.
    Hook,
    /// None: entries stay until their tuple is used again.
    None,
}

impl EndDetection {
    /// By sweeps.
    pub fn by_sweep() -> Self {
        Self::Sweep(Schedule::every(PERIOD))
    }

    /// Subscribes to destroy events in the calling thread's namespace, which is that of the scope.
    ///
    /// # Errors
    /// The reason, in words, if the kernel has none.
    pub fn by_netlink(scope: Scope, layout_known: u32) -> Result<Self, String> {
        DestroyEvents::subscribe(scope, layout_known).map(|events| Self::Netlink(Box::new(events)))
    }

    /// Looks for ends if it is due, and returns when it will be due again.
    ///
    /// # Errors
    /// If the kernel refuses to run the sweep, or the table cannot be read.
    pub fn run(
        &mut self,
        programs: &mut Programs,
        table: &FlowTable,
        sink: Sink<'_>,
    ) -> anyhow::Result<Duration> {
        match self {
            Self::Sweep(schedule) => schedule.run_if_due(|| Ok(programs.sweep()?.then_some(SOON))),
            Self::Netlink(events) => events.run(table, sink),
            Self::Hook | Self::None => Ok(PERIOD),
        }
    }
}
