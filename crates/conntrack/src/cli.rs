//! What was typed. Nothing here looks at the system.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use clap::ValueEnum;
use shared::cli::Common;
use shared::cli::Tool;
use shared::ring::RingName;
use shared::ring::layout;
use shared::ring::name;

/// Report every connection that begins or ends, and keep the NAT table
///
/// Records go to a ring in shared memory, which gwlookup and others read, and to stdout if asked.
/// The NAT table is kept in pinned maps, where --get looks connections up.
#[derive(Debug, Parser)]
#[command(
    name = "conntrack",
    version,
    override_usage = "guesser | conntrack [OPTIONS]\n       conntrack --get PROTO,SRC:PORT,DST:PORT[,NETNS]",
    after_help = "Exit status: 0 done; 1 no such connection with NAT, or records were lost under \
                  --fail-on-loss; 2 wrong usage;\n3 failed; 4 missing privilege; 5 the kernel \
                  cannot do it.\n\nExamples:\n  guesser | conntrack -o json --count 10\n  \
                  conntrack --get udp,10.0.0.2:5353,203.0.113.9:53"
)]
pub struct Cli {
    /// Where the kernel's struct offsets come from: a file, '-' for stdin, or pinned:PATH
    /// [default: stdin when it is a pipe or a file]
    #[arg(long, value_name = "FILE|-|pinned:PATH", help_heading = "Source")]
    pub offsets: Option<Origin>,
    /// Where events come from; auto takes the first source that works
    #[arg(long, value_enum, default_value_t = SourceName::Auto, help_heading = "Source")]
    pub source: SourceName,
    /// Do not load the connections that exist at start
    #[arg(long, help_heading = "Source")]
    pub no_dump: bool,

    /// Which events to report
    #[arg(
        short,
        long,
        value_name = "EVENTS",
        value_delimiter = ',',
        value_enum,
        default_value = "new,destroy",
        help_heading = "Selection"
    )]
    pub event_mask: Vec<EventName>,
    /// Only connections with NAT, in records and in the table
    #[arg(long, help_heading = "Selection")]
    pub nat_only: bool,
    /// Maximum number of connections in the table, for each of IPv4 and IPv6
    #[arg(long, value_name = "N", default_value_t = 131_072,
          value_parser = clap::value_parser!(u32).range(1..=1 << 26), help_heading = "Selection")]
    pub max_entries: u32,

    /// Ring to write: a name in /dev/shm, or a path
    #[arg(long, value_name = "NAME", default_value = name::DEFAULT, help_heading = "Output")]
    pub ring: RingName,
    /// Size of the ring, rounded down to a power of two of records; K, M, G are understood
    #[arg(long, value_name = "BYTES", default_value = "16M", value_parser = parse_ring_size,
          help_heading = "Output")]
    pub ring_size: u64,
    /// Directory of a bpffs for the table [default: /sys/fs/bpf/sextant, if a bpffs is there]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub pin: Option<PathBuf>,
    /// Also write the records to stdout
    #[arg(short, long, value_enum, default_value_t = Format::None, help_heading = "Output")]
    pub output: Format,
    /// Keep counters for a Prometheus textfile collector in this file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub metrics: Option<PathBuf>,
    /// Write a newline to this descriptor and close it when everything is ready
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..),
          help_heading = "Output")]
    pub ready_fd: Option<i32>,

    /// End after this many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..),
          help_heading = "End")]
    pub count: Option<u64>,
    /// End after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds, help_heading = "End")]
    pub duration: Option<Duration>,
    /// Exit 1 if anything was lost
    #[arg(long, help_heading = "End")]
    pub fail_on_loss: bool,

    /// Look up one connection as it is now, and end: a line for each zone and namespace that has it. NETNS is an
    /// inode number or a path. IPv6 in brackets; ICMP as icmp,SRC:ID,DST:2048 (type x 256 + code)
    #[arg(
        long,
        value_name = "PROTO,SRC:PORT,DST:PORT[,NETNS]",
        help_heading = "Query"
    )]
    pub get: Option<String>,

    #[command(flatten)]
    pub common: Common,
}

impl Tool for Cli {
    const NAME: &'static str = "conntrack";

    fn common(&self) -> &Common {
        &self.common
    }
}

/// Where the offsets document lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
    /// A map that guesser pinned.
    Pinned(PathBuf),
}

impl FromStr for Origin {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix("pinned:") {
            Some(path) => Self::Pinned(path.into()),
            None if text == "-" => Self::Stdin,
            None => Self::File(text.into()),
        })
    }
}

/// `--source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SourceName {
    /// The first of these that works, in this order
    Auto,
    /// Every network namespace; needs BTF of nf_conntrack (Linux 6.1)
    Fentry,
    /// Every network namespace; counts what begins while the kernel skips the probe
    Kprobe,
    /// Every network namespace, but only what is transmitted: not a datagram that is received and never
    /// answered, nor what tc, XDP or xfrm take away. Ends up to a second late
    Tracepoint,
    /// Only this network namespace; needs no offsets
    Netlink,
}

/// `--event-mask`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EventName {
    New,
    /// No source reports changes yet.
    #[value(hide = true)]
    Update,
    Destroy,
}

/// `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    None,
    Text,
    Json,
}

/// A number of bytes, with K, M or G for its powers of 1024.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 10),
        Some((at, 'M' | 'm')) => (&text[..at], 20),
        Some((at, 'G' | 'g')) => (&text[..at], 30),
        _ => (text, 0),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "not a number of bytes".into())
}

fn parse_ring_size(text: &str) -> Result<u64, String> {
    let bytes = parse_bytes(text)?;
    match layout::slots_log2_for(bytes) {
        Some(_) => Ok(bytes),
        None => Err(format!("a ring of {bytes} bytes is too small or too large")),
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=1e9).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("not a number of seconds".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_have_suffixes() {
        for (text, bytes) in [
            ("4096", Some(4096)),
            ("16M", Some(16 << 20)),
            ("1g", Some(1 << 30)),
            ("", None),
            ("M", None),
            ("-1", None),
            ("1.5M", None),
            ("99999999999G", None),
        ] {
            assert_eq!(parse_bytes(text).ok(), bytes, "{text}");
        }
    }

    #[test]
    fn offsets_come_from_three_places() {
        let origin = |text: &str| text.parse::<Origin>().unwrap();
        assert_eq!(origin("-"), Origin::Stdin);
        assert_eq!(origin("pinned:/a/b"), Origin::Pinned("/a/b".into()));
        assert_eq!(origin("./x"), Origin::File("./x".into()));
    }
}
