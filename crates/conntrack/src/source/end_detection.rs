//! How a BPF source learns that a connection has ended: by a sweep of the table in BPF or, where the
//! kernel is too old for that, by a hook of the programs or ctnetlink's destroy events.

use std::time::Duration;

use netlink::nfnetlink::NFNLGRP_CONNTRACK_DESTROY;
use shared::clock::monotonic_ns;
use shared::record::wire::Record;
use shared::record::wire::kind;
use shared::record::wire::known;

use super::schedule::Schedule;
use crate::bpf::programs::Programs;
use crate::bpf::table::FlowTable;
use crate::ctnetlink::listen::Subscription;
use crate::flow_entry::Key;
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
    Netlink {
        /// The subscription.
        events: Box<Subscription>,
        /// Fields that the programs' keys have.
        key_known: u32,
        /// The namespace.
        netns_ino: u32,
    },
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

    /// Subscribes to destroy events in the calling thread's namespace.
    ///
    /// # Errors
    /// The reason, in words, if the kernel has none.
    pub fn by_netlink(netns_ino: u32, layout_known: u32) -> Result<Self, String> {
        let events =
            Subscription::join(&[NFNLGRP_CONNTRACK_DESTROY]).map_err(|error| error.to_string())?;
        Ok(Self::Netlink {
            events: Box::new(events),
            key_known: layout_known & (known::NETNS | known::ZONE),
            netns_ino,
        })
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
            Self::Netlink {
                events,
                key_known,
                netns_ino,
            } => {
                events.take(4096, |record| {
                    let key = Key::of(&Record {
                        netns_ino: *netns_ino,
                        known: *key_known,
                        ..record
                    });
                    if let Some(entry) = table.get(&key)? {
                        if table.remove(&key)? {
                            sink(&ended(entry.record(&key, kind::DESTROY)));
                        }
                    }
                    Ok(())
                })?;
                Ok(Duration::from_millis(100))
            }
            Self::Hook | Self::None => Ok(PERIOD),
        }
    }
}

/// The record of a connection's end, with the present time.
pub fn ended(record: Record) -> Record {
    Record {
        r#type: kind::DESTROY,
        ts_mono_ns: monotonic_ns().unwrap_or(record.ts_mono_ns),
        ..record
    }
}
