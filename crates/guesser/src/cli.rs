//! The command line.

use std::path::Path;
use std::path::PathBuf;

use clap::Parser;
use clap::ValueEnum;
use guess::Mechanism;
use shared::cli::Common;
use shared::cli::Tool;
use shared::exit::Failure;
use shared::offsets::FieldSet;

/// Measure where the running kernel keeps its fields, by experiment.
///
/// guesser makes connections, sockets and route lookups with known properties in network namespaces of its
/// own, copies the kernel's structs of them, and drops every offset that disagrees. A field is proven if
/// one offset is left, with enough evidence, and fresh connections confirm it. guesser never picks one of
/// several.
#[derive(Debug, Parser)]
#[command(
    name = "guesser",
    version,
    override_usage = "guesser [--fields SET] [--method METHOD] [--hook HOOK] [-o FILE|-] [--pin PATH] [--format FORM]\n               [--partial] [--explain] [--record FILE] [--cache DIR] [--no-cache]\n       guesser --replay FILE [-o FILE|-] [--format FORM] [--partial] [--explain]",
    after_help = "\
Reads:   the kernel's memory, through raw tracepoints, else kprobes; /proc/zoneinfo, /proc/modules,
         /lib/modules; for comparison BTF: /sys/kernel/btf/vmlinux and nf_conntrack
Writes:  the offsets document to stdout, a file or a pinned BPF map; diagnostics to stderr;
         a file for a later run with --record and --cache only

Exit status:
  0  every field is proven
  1  a field is ambiguous or missing; stderr says why; nothing is emitted without --partial
  2  wrong usage
  3  failed, or stopped by SIGINT or SIGTERM; nothing is emitted
  4  a privilege is missing; stderr names each
  5  this kernel cannot do it: no hook, no tracking, or lockdown; stderr says what was tried

Privileges:
  CAP_SYS_ADMIN  to make network namespaces; it includes CAP_BPF and CAP_PERFMON, which hooks need
  CAP_NET_ADMIN  to set marks, rules and timeouts in these namespaces
  Each thread drops what it no longer needs. --method btf needs none.

Examples:
  guesser --fields all --format json | jq -r '.fields[] | [.name, .offset] | @tsv'
  guesser -o /run/sextant.offsets && conntrack --offsets /run/sextant.offsets"
)]
pub struct Cli {
    /// Which fields to measure
    #[arg(long, value_name = "SET", value_enum, default_value_t = FieldSet::Conntrack)]
    pub fields: FieldSet,
    /// How to find them
    #[arg(long, value_name = "METHOD", value_enum, default_value_t = Method::Auto)]
    pub method: Method,
    /// What to hook
    #[arg(long, value_name = "HOOK", value_enum, default_value_t = Hook::Auto)]
    pub hook: Hook,
    /// Where to write the document; - is stdout, even if that is a terminal
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Also write the document to a BPF map pinned here, on a mounted bpffs
    #[arg(long, value_name = "PATH")]
    pub pin: Option<PathBuf>,
    /// How to write it [default: text to a terminal, else bincode]
    #[arg(long, value_name = "FORM", value_enum)]
    pub format: Option<Format>,
    /// Emit what is proven even if something is not
    #[arg(long)]
    pub partial: bool,
    /// Show on stderr how the candidates of each field were eliminated
    #[arg(long, conflicts_with = "quiet")]
    pub explain: bool,
    /// Write everything that was read to a file for --replay. It is kernel memory: the file has mode 0600
    #[arg(long, value_name = "FILE", conflicts_with_all = ["replay", "cache"])]
    pub record: Option<PathBuf>,
    /// Solve a recorded run again, for the kernel that was recorded; nothing confirms the result
    #[arg(long, value_name = "FILE", conflicts_with_all = ["fields", "hook", "pin", "cache"])]
    pub replay: Option<PathBuf>,
    /// Use what an earlier run on this very kernel wrote to this directory, if fresh connections confirm
    /// it; else measure, and write it there
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Use no cache, whatever the settings say
    #[arg(long)]
    pub no_cache: bool,
    #[command(flatten)]
    common: Common,
}

impl Cli {
    /// The directory of the cache, if it may be used: a run that is recorded has to measure.
    #[must_use]
    pub fn cache(&self) -> Option<&Path> {
        let is_used = !self.no_cache && self.record.is_none();
        self.cache.as_deref().filter(|_| is_used)
    }

    /// Refuses values that contradict each other.
    ///
    /// # Errors
    /// Exit 2.
    pub fn check(&self) -> Result<(), Failure> {
        let why = match (self.method, &self.record, &self.replay) {
            (Method::Btf, Some(_), _) => {
                "--method btf takes no samples, so --record has none to write"
            }
            (Method::Btf, _, Some(_)) => {
                "--replay solves samples, which --method btf does not have"
            }
            _ => return Ok(()),
        };
        Err(Failure::Usage(why.into()))
    }
}

/// The source of the offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// By experiment; compared with BTF if the kernel has it; a difference is reported
    Auto,
    /// From the kernel's type information alone; needs no privilege
    Btf,
    /// By experiment alone
    Guess,
}

/// Which hooks may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Hook {
    /// For each kind of event the first one that works: raw tracepoints, then kprobes
    Auto,
    /// Raw tracepoints alone
    Tracepoint,
    /// Kprobes alone
    Kprobe,
}

impl Hook {
    /// The mechanisms, in the order in which they are tried.
    #[must_use]
    pub fn mechanisms(self) -> Vec<Mechanism> {
        match self {
            Self::Auto => vec![Mechanism::Tracepoint, Mechanism::Kprobe],
            Self::Tracepoint => vec![Mechanism::Tracepoint],
            Self::Kprobe => vec![Mechanism::Kprobe],
        }
    }
}

/// A form of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For the other tools
    Bincode,
    /// One object
    Json,
    /// A table for people
    Text,
}

impl Tool for Cli {
    const NAME: &'static str = "guesser";

    fn common(&self) -> &Common {
        &self.common
    }
}
