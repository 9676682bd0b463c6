//! What was typed.

use clap::Parser;
use shared::cli::Common;
use shared::cli::Tool;

use crate::name::Name;

/// Tell, by trying, what of Sextant this kernel can run.
///
/// Each probe loads, attaches and fires what another tool uses, in a network namespace of its own
/// where one can be had, and leaves nothing behind. One line per probe: its name, yes, no,
/// forbidden or unknown, the kernel's error number, and one sentence. `no` is about the kernel,
/// `forbidden` about privileges or a policy. With -q the exit code alone answers.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "kcheck",
    version,
    override_usage = "kcheck [--json] [--require NAME,…] [--allow-degraded] [-q]",
    after_help = "Exit codes:\n  \
        0  a BPF source and every offset it needs can be had\n  \
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

    /// Ask only whether these probes say yes: then 0, else 4 or 5
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub require: Vec<Name>,

    /// Exit 0, not 1, when only the netlink fallback works
    #[arg(long)]
    pub allow_degraded: bool,

    /// Shared options; `quiet` also silences the report, unless `json` asks for it.
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
