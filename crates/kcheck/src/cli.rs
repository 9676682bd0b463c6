//! The command line.

use clap::Parser;
use shared::cli::Common;
use shared::cli::Tool;

use crate::name::Name;

/// Test what this kernel can run of Sextant.
///
/// Each probe loads, attaches and fires what another tool uses, in a network namespace of its own if it
/// can create one, and leaves nothing behind. It prints one line per probe: its name, yes, no, forbidden
/// or unknown, the kernel's error number, and one sentence. `no` means that the kernel cannot do it,
/// `forbidden` that a missing privilege or a policy prevents it. With -q only the exit code answers.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "kcheck",
    version,
    override_usage = "kcheck [--json] [--require NAME,…] [--allow-degraded] [-q]",
    after_help = "Exit codes:\n  \
        0  a BPF source works, and so does a way to every offset it needs\n  \
        1  degraded: only the netlink fallback works\n  \
        2  wrong usage\n  \
        3  failed\n  \
        4  a privilege is missing, named on stderr\n  \
        5  this kernel cannot do it, named on stderr\n\n\
        Examples:\n  \
        kcheck && guesser | conntrack & gwlookup\n  \
        kcheck --json | jq -r '.probes[] | select(.verdict != \"yes\") | .name'"
)]
pub struct Cli {
    /// Print one JSON object instead of lines, also with -q
    #[arg(long)]
    pub json: bool,

    /// Exit 0 if these probes answer yes, else 4 or 5
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub require: Vec<Name>,

    /// Exit 0 instead of 1 if only the netlink fallback works
    #[arg(long)]
    pub allow_degraded: bool,

    /// Options of all tools; `quiet` also suppresses the report, unless `json` asks for it.
    #[command(flatten)]
    pub common: Common,
}

impl Tool for Cli {
    const NAME: &'static str = "kcheck";

    fn common(&self) -> &Common {
        &self.common
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_is_well_formed() {
        Cli::command().debug_assert();
    }
}
