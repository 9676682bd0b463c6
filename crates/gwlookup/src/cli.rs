//! The command line, checked for syntax only. Nothing here looks at the system.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use shared::cli::Common;
use shared::cli::Tool;
use shared::ring::RingName;
use shared::ring::name::DEFAULT;

const ABOUT: &str = "\
Show through which gateway each connection leaves

Reads connection records from the ring that conntrack writes, or as lines of JSON, and adds the \
route. It looks the route up in the network namespace of the record, to the destination after DNAT \
and from the source before SNAT.";

const USAGE: &str = "\
gwlookup [--ring NAME] [--follow] [--wait SECONDS] [-o json|text] [--count N] [--duration SECONDS]
       gwlookup --input FILE|- [-o json|text] [--count N] [--duration SECONDS]
       gwlookup --get DST[,SRC[,NETNS]] [-o json|text]";

const EXAMPLES: &str = "\
Examples:
  Watch the connections of this machine through the ring of a running conntrack:
      gwlookup --ring sextant -o text

  Look up one route, from a container to an address, in a router's namespace:
      gwlookup --get 198.51.100.7,10.1.0.5,/run/netns/router

Exit status: 0 done; 1 no route (--get), or records were lost (--fail-on-loss); 2 wrong usage;
3 failed, with the reason on stderr; 4 a privilege is missing; 5 the kernel cannot do it.";

/// The command line.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "gwlookup", version, about = ABOUT, override_usage = USAGE, after_help = EXAMPLES)]
pub struct Cli {
    /// Ring to read: a name in /dev/shm, or a path
    #[arg(long, value_name = "NAME", default_value = DEFAULT, help_heading = "Records")]
    pub ring: RingName,
    /// Read records as lines of JSON, as `conntrack -o json` prints them; - is standard input
    #[arg(long, value_name = "FILE|-", help_heading = "Records")]
    #[arg(conflicts_with_all = ["ring", "follow", "wait"])]
    pub input: Option<PathBuf>,
    /// When the ring's writer ends, read the next writer's ring
    #[arg(long, help_heading = "Records")]
    pub follow: bool,
    /// How long to wait for a ring that does not exist yet
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    #[arg(help_heading = "Records")]
    pub wait: Duration,
    /// Look up one route instead: to DST, for packets from SRC, in the network namespace with this
    /// inode number or path
    #[arg(long, value_name = "DST[,SRC[,NETNS]]", help_heading = "Records")]
    #[arg(conflicts_with_all = ["ring", "input", "follow", "wait", "count", "duration", "fail_on_loss"])]
    pub get: Option<Target>,

    /// Lines of JSON, or a table for people; the table if standard output is a terminal
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    pub output: Option<Format>,
    /// End after N records
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    #[arg(help_heading = "Output")]
    pub count: Option<u64>,
    /// End after SECONDS
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = "Output")]
    pub duration: Option<Duration>,
    /// Exit 1 if a record was lost
    #[arg(long, help_heading = "Output")]
    pub fail_on_loss: bool,

    /// Options of every tool
    #[command(flatten)]
    pub common: Common,
}

impl Tool for Cli {
    const NAME: &'static str = "gwlookup";

    fn common(&self) -> &Common {
        &self.common
    }
}

/// How records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// A table, or a sentence.
    Text,
}

/// What `--get` looks up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Destination.
    pub dst: IpAddr,
    /// Source; the kernel chooses if there is none.
    pub src: Option<IpAddr>,
    /// Network namespace; that of this process if there is none.
    pub netns: Option<NetnsName>,
}

/// A network namespace as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetnsName {
    /// Inode number, as in records.
    Inum(u32),
    /// A file that stands for it, such as `/run/netns/NAME`.
    Path(PathBuf),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ',');
        let dst = address(parts.next().unwrap_or_default())?;
        let src = match parts.next() {
            None | Some("") => None,
            Some(src) => Some(address(src)?),
        };
        if src.is_some_and(|src| src.is_ipv4() != dst.is_ipv4()) {
            return Err("source and destination are of different families".into());
        }
        let netns = parts.next().map(str::parse).transpose()?;
        Ok(Self { dst, src, netns })
    }
}

impl FromStr for NetnsName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(Self::Path(text.into()));
        }
        text.parse().map(Self::Inum).map_err(|_| {
            format!("network namespace {text:?} is neither an inode number nor an absolute path")
        })
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not an IP address"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "not a number of seconds".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_target_is_a_destination_and_perhaps_more() {
        let target = |text: &str| text.parse::<Target>();
        let dst = IpAddr::from([192, 0, 2, 1]);
        let bare = Target {
            dst,
            src: None,
            netns: None,
        };
        assert_eq!(target("192.0.2.1"), Ok(bare.clone()));
        assert_eq!(
            target("192.0.2.1,,4026531840"),
            Ok(Target {
                netns: Some(NetnsName::Inum(4_026_531_840)),
                ..bare.clone()
            })
        );
        assert_eq!(
            target("192.0.2.1,10.0.0.1,/run/netns/a,b"),
            Ok(Target {
                src: Some([10, 0, 0, 1].into()),
                netns: Some(NetnsName::Path("/run/netns/a,b".into())),
                ..bare
            })
        );
        for wrong in ["", "x", "192.0.2.1,x", "192.0.2.1,::1", "::1,,router"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn seconds_are_finite_and_not_negative() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for wrong in ["", "-1", "inf", "nan", "1s", "1e30"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
