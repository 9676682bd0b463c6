//! What the command line means on this machine, checked before anything is changed.

use std::time::Duration;

use shared::exit::Failure;
use shared::ring::RingName;
use shared::ring::layout;

use crate::cli::Cli;
use crate::cli::EventName;
use crate::cli::SourceName;
use crate::layout::Layout;
use crate::offsets;

/// Everything that was decided.
pub struct Plan {
    /// What to take events from.
    pub source: SourceName,
    /// Where the kernel keeps things, if an offsets document was given.
    pub layout: Option<Layout>,
    /// Load the connections that exist already.
    pub dump: bool,
    /// Report beginnings.
    pub report_new: bool,
    /// Report ends.
    pub report_destroy: bool,
    /// Only connections with NAT.
    pub nat_only: bool,
    /// Entries of each family's table.
    pub max_entries: u32,
    /// The ring to write.
    pub ring: RingName,
    /// Its size.
    pub ring_bytes: u64,
    /// End after so many records.
    pub count: Option<u64>,
    /// End after this time.
    pub duration: Option<Duration>,
    /// The kernel may load modules, and bpffs may be mounted.
    pub may_change_system: bool,
}

impl Plan {
    /// Checks the command line and reads the offsets; waits for their writer.
    ///
    /// # Errors
    /// Exit 2 for wrong usage, exit 3 for offsets that cannot be used.
    pub fn make(cli: &Cli) -> anyhow::Result<Self> {
        let usage = |text: String| Failure::Usage(text);
        if cli.event_mask.contains(&EventName::Update) {
            return Err(usage("update events are not available from this source".into()).into());
        }
        let ring: RingName = cli
            .ring
            .parse()
            .map_err(|error| usage(format!("{error}")))?;
        if layout::slots_log2_for(cli.ring_size).is_none() {
            let bytes = cli.ring_size;
            return Err(usage(format!("a ring of {bytes} bytes is too small or too large")).into());
        }
        let layout = match cli.source {
            SourceName::Netlink => None,
            _ => cli
                .offsets
                .clone()
                .or_else(offsets::default_origin)
                .map(|origin| offsets::read(&origin))
                .transpose()?,
        };
        Ok(Self {
            source: cli.source,
            layout,
            dump: !cli.no_dump,
            report_new: cli.event_mask.contains(&EventName::New),
            report_destroy: cli.event_mask.contains(&EventName::Destroy),
            nat_only: cli.nat_only,
            max_entries: cli.max_entries,
            ring,
            ring_bytes: cli.ring_size,
            count: cli.count,
            duration: cli.duration.map(Duration::from_secs_f64),
            may_change_system: cli.common.allow_system_changes,
        })
    }
}
