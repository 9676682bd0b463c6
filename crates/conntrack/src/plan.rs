//! What the command line means on this machine, checked before anything is changed.

use shared::exit::Failure;

use crate::cli::Cli;
use crate::cli::EventName;
use crate::cli::SourceName;
use crate::layout::Layout;
use crate::offsets;

/// The command line, and what follows from it.
pub struct Plan {
    pub cli: Cli,
    /// Where the kernel keeps things, if an offsets document was given.
    pub layout: Option<Layout>,
    /// Report beginnings.
    pub report_new: bool,
    /// Report ends.
    pub report_destroy: bool,
}

impl Plan {
    /// Checks the command line and reads the offsets; waits for their writer.
    ///
    /// # Errors
    /// Exit 2 for wrong usage, exit 3 for offsets that cannot be used.
    pub fn make(cli: Cli) -> anyhow::Result<Self> {
        let is_asked = |event| cli.event_mask.contains(&event);
        if is_asked(EventName::Update) {
            let text = "no source reports update events yet".into();
            return Err(Failure::Usage(text).into());
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
            layout,
            report_new: is_asked(EventName::New),
            report_destroy: is_asked(EventName::Destroy),
            cli,
        })
    }

    /// May the kernel load modules, and bpffs be mounted?
    pub fn may_change_system(&self) -> bool {
        self.cli.common.allow_system_changes
    }
}
