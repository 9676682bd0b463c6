//! How a BPF source learns that a connection has ended: a sweep by the programs themselves, or
//! where the kernel is too old for that, a hook of theirs or ctnetlink's destroy events.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use netlink;
use shared::clock::monotonic_ns;
use shared::record::wire::Record;
use shared::record::wire::kind;
use shared::record::wire::known;

use super::pace::Pace;
use super::pace::Stint;
use crate::bpf::FlowTable;
use crate::bpf::Programs;
use crate::ctnetlink::Events;
use crate::ctnetlink::listen::GROUP_DESTROY;
use crate::table::Entry;
use crate::table::Key;

/// Period of the sweep: what the news of an end waits at most.
const PERIOD: Duration = Duration::from_secs(1);
/// After a sweep that the full ring buffer stopped.
const SOON: Duration = Duration::from_millis(2);

/// The way of this kernel.
pub enum Ends {
    /// The sweep, and when it is due.
    Sweep(Pace),
    /// Events of our own namespace.
    Netlink {
        /// The subscription.
        events: Box<Events>,
        /// Fields that the programs' keys have.
        key_known: u32,
        /// The namespace.
        netns_ino: u32,
    },
    /// The programs' own hook.
    Heard,
    /// None: entries stay until their tuple is used again.
    Unseen,
}

impl Ends {
    /// By sweeps.
    #[must_use]
    pub fn by_sweep() -> Self {
        Self::Sweep(Pace::every(PERIOD))
    }

    /// Subscribes to destroy events in the calling thread's namespace.
    ///
    /// # Errors
    /// If the kernel has none.
    pub fn by_netlink(netns_ino: u32, layout_known: u32) -> Result<Self, netlink::Error> {
        Ok(Self::Netlink {
            events: Box::new(Events::join(&[GROUP_DESTROY])?),
            key_known: layout_known & (known::NETNS | known::ZONE),
            netns_ino,
        })
    }

    /// Looks for ends if it is time to, and says when it will be time again.
    ///
    /// # Errors
    /// If the kernel refuses to run the sweep, or the table cannot be read.
    pub fn look(
        &mut self,
        programs: &mut Programs<'_>,
        table: &FlowTable,
        batch: &mut Vec<Record>,
    ) -> anyhow::Result<Duration> {
        match self {
            Self::Sweep(pace) => {
                let stint = Stint::begin();
                let begun = stint.begun();
                if pace.is_due(begun) {
                    let sweep = programs.sweep()?;
                    let cost = stint.cost();
                    log::trace!(
                        "sweep: {} kept, {} ended, {:?}",
                        sweep.kept,
                        sweep.ended,
                        cost
                    );
                    if sweep.stuck {
                        pace.again(begun, SOON);
                    } else {
                        pace.done(begun, cost);
                    }
                }
                Ok(pace.left(Instant::now()))
            }
            Self::Netlink {
                events,
                key_known,
                netns_ino,
            } => {
                let mut told = Vec::new();
                events
                    .take(&mut told, 4096)
                    .context("read destroy events")?;
                for record in told {
                    let record = Record {
                        netns_ino: *netns_ino,
                        known: *key_known,
                        ..record
                    };
                    batch.extend(end(table, &Key::of(&record))?);
                }
                Ok(Duration::from_millis(100))
            }
            Self::Heard | Self::Unseen => Ok(PERIOD),
        }
    }
}

/// Removes an entry that netlink says has ended.
fn end(table: &FlowTable, key: &Key) -> anyhow::Result<Option<Record>> {
    let Some(entry) = table.get(key)? else {
        return Ok(None);
    };
    Ok(table.remove(key)?.then(|| ended(key, &entry)))
}

/// The record of an entry's end, now.
#[must_use]
pub fn ended(key: &Key, entry: &Entry) -> Record {
    let record = entry.record(key, kind::DESTROY);
    Record {
        ts_mono_ns: monotonic_ns().unwrap_or(record.ts_mono_ns),
        ..record
    }
}
