//! How a site tracks connections: by rules of nf_tables, by rules of the legacy iptables interface, or by
//! existing rules. Switches tracking on and records what connections can be given.

use std::fmt::Display;
use std::fs::File;
use std::net::Ipv4Addr;
use std::net::SocketAddrV4;
use std::os::unix::fs::FileExt as _;

use anyhow::Context as _;
use lab::Part;
use lab::iptables;
use lab::iptables::LegacyRules;
use lab::modules::Modules;
use lab::nft;
use lab::nft::Ruleset;
use netlink::Protocol;
use netlink::Socket as Netlink;
use netlink::ctnetlink;
use netlink::ctnetlink::Tuple;
use nix::errno::Errno;
use shared::exit::Failure;

use super::address::random_loopback;
use crate::expected::connection::Abilities;
use crate::random::seeded;

/// How many ends the rules of the legacy interface name in advance; each serves one connection.
const ENDS: usize = 48;
/// The timeouts of UDP connections before and after their second packet.
const TIMEOUTS: [&str; 2] = [
    "/proc/sys/net/netfilter/nf_conntrack_udp_timeout",
    "/proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream",
];

/// What can be used without making the kernel load a module.
#[derive(Debug, Clone)]
pub struct Access {
    allow_system_changes: bool,
    /// The missing modules of nf_tables.
    nft: Vec<&'static str>,
}

impl Access {
    /// What can be used on the running kernel.
    pub fn to_running(allow_system_changes: bool) -> Self {
        let mut access = Self {
            allow_system_changes,
            nft: Vec::new(),
        };
        access.nft = access.lacks(nft::MODULES);
        access
    }

    /// Whether single connections can be looked up and changed.
    pub fn has_ctnetlink(&self) -> bool {
        self.lacks(ctnetlink::MODULES).is_empty()
    }

    /// The modules among these that a request would load.
    fn lacks(&self, needed: &[&'static str]) -> Vec<&'static str> {
        if self.allow_system_changes {
            Vec::new()
        } else {
            Modules::running().would_load(needed)
        }
    }
}

/// How connections are tracked.
#[derive(Debug)]
pub enum Switch {
    /// By rules of nf_tables: the zone is the priority of the packets, the mark is their mark, and the first
    /// packet asks for the NAT.
    Nftables,
    /// By rules of the legacy interface: the mark of the packets chooses everything.
    Legacy(Legacy),
    /// By rules that are not ours; single connections are changed.
    Borrowed(Borrowed),
}

/// Connections of ours among those of others. They are deleted at the end of the run; until then their
/// memory is not reused.
#[derive(Debug)]
pub struct Borrowed {
    /// Finds and changes them.
    pub netlink: Netlink,
    /// Our connections.
    pub made: Vec<Tuple>,
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        for tuple in &self.made {
            match ctnetlink::delete(&mut self.netlink, tuple) {
                // It has expired.
                Err(error) if error.errno() == Some(Errno::ENOENT) => {}
                Err(error) => {
                    log::warn!("an entry of ours could not be deleted, {tuple:?}: {error}")
                }
                Ok(()) => {}
            }
        }
    }
}

/// Rules of the legacy interface, and how many of their ends are used.
#[derive(Debug)]
pub struct Legacy {
    /// The rules.
    pub rules: LegacyRules,
    used: usize,
}

impl Legacy {
    /// The next unused ends: their index, the destination of DNAT and the source of SNAT.
    pub fn next_ends(&mut self) -> Option<(u8, SocketAddrV4, SocketAddrV4)> {
        let index = self.used;
        let ends = (*self.rules.dnat.get(index)?, *self.rules.snat.get(index)?);
        self.used += 1;
        Some((u8::try_from(index).ok()?, ends.0, ends.1))
    }
}

/// Connection tracking in the namespace of a site.
#[derive(Debug)]
pub struct Tracking {
    /// How connections are tracked.
    pub switch: Switch,
    /// What connections can be given.
    pub can: Abilities,
    /// The parts that the kernel refused, and why.
    pub refused: Vec<(Part, String)>,
    timeouts: Option<[File; 2]>,
}

impl Tracking {
    /// Switches it on in the calling thread's namespace, which must be ours.
    ///
    /// # Errors
    /// [`Failure::Privilege`] if a privilege is missing, [`Failure::Kernel`] if the kernel supports no
    /// interface that is allowed.
    pub fn switch_on(access: &Access) -> anyhow::Result<Self> {
        let by_nft = if access.nft.is_empty() {
            Self::by_nft()
        } else {
            let names = access.nft.join(" ");
            Err(Failure::Kernel(format!("not loaded: {names}")).into())
        };
        let error = match by_nft {
            Err(error) if is_inability(&error) => error,
            settled => return settled,
        };
        log::info!("no nf_tables: {error:#}");
        Self::by_iptables(&access.lacks(iptables::MODULES)).map_err(|legacy| {
            let why = format!(
                "connections cannot be tracked: nf_tables: {error:#}; iptables: {legacy:#}; load \
                 the modules with modprobe, pass --allow-system-changes, or trust the kernel's \
                 type information with --method btf"
            );
            Failure::Kernel(why).into()
        })
    }

    fn by_nft() -> anyhow::Result<Self> {
        let ruleset = Ruleset::<Ipv4Addr> {
            zone: true,
            mark: true,
            nat_requests: true,
            ..Ruleset::default()
        };
        let refused = Netlink::open(Protocol::Netfilter)
            .map_err(nft::Error::from)
            .and_then(|mut netlink| ruleset.install(&mut netlink))
            .map_err(|error| no_nft(&error))?;
        Self::by_our_rules(Switch::Nftables, refused)
    }

    fn by_iptables(missing: &[&str]) -> anyhow::Result<Self> {
        let mut random = seeded()?;
        let mut ends =
            || -> Vec<SocketAddrV4> { (0..ENDS).map(|_| random_loopback(&mut random)).collect() };
        let (dnat, snat) = (ends(), ends());
        let rules = LegacyRules {
            zone: true,
            mark: Some(random.u32(1..)),
            dnat,
            snat,
        };
        let refused = rules.install(missing).context("open a socket")?;
        Self::by_our_rules(Switch::Legacy(Legacy { rules, used: 0 }), refused)
    }

    /// Uses the calling thread's namespace as it is.
    ///
    /// # Errors
    /// If the kernel has no ctnetlink.
    pub fn borrowed() -> anyhow::Result<Self> {
        let netlink = Netlink::open(Protocol::Netfilter).context("open a netfilter socket")?;
        Ok(Self {
            switch: Switch::Borrowed(Borrowed {
                netlink,
                made: Vec::new(),
            }),
            can: Abilities {
                zone: false,
                mark: true,
                nat: None,
            },
            refused: vec![(
                Part::Zone,
                "connections are tracked by rules that are not ours".into(),
            )],
            timeouts: None,
        })
    }

    fn by_our_rules(switch: Switch, refused: Vec<(Part, impl Display)>) -> anyhow::Result<Self> {
        let refused = refused.into_iter();
        let refused: Vec<_> = refused.map(|(part, why)| (part, why.to_string())).collect();
        let lacks = |part| refused.iter().any(|(refused, _)| *refused == part);
        if let Some((_, refusal)) = refused.iter().find(|(part, _)| *part == Part::Tracking) {
            let why = format!("this kernel cannot track connections: {refusal}");
            return Err(Failure::Kernel(why).into());
        }
        let open = |path| File::options().write(true).open(path);
        let timeouts = open(TIMEOUTS[0]).and_then(|first| Ok([first, open(TIMEOUTS[1])?]));
        let timeouts = timeouts.inspect_err(|error| log::debug!("{}: {error}", TIMEOUTS[0]));
        Ok(Self {
            switch,
            can: Abilities {
                zone: !lacks(Part::Zone),
                mark: !lacks(Part::Mark),
                nat: (lacks(Part::Dnat) == lacks(Part::Snat)).then(|| !lacks(Part::Dnat)),
            },
            refused,
            timeouts: timeouts.ok(),
        })
    }

    /// Sets the timeout that UDP connections get at their next packet, and returns whether that worked.
    pub fn set_timeout_s(&self, seconds: u32) -> bool {
        let text = format!("{seconds}\n");
        let is_written = |file: &File| file.write_all_at(text.as_bytes(), 0).is_ok();
        let files = self.timeouts.as_ref();
        files.is_some_and(|files| files.iter().all(is_written))
    }
}

/// Whether an error means that this kernel cannot do something, for which there may be a substitute.
pub fn is_inability(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<Failure>(), Some(Failure::Kernel(_)))
}

fn no_nft(error: &nft::Error) -> anyhow::Error {
    let why = format!("switch connection tracking on in a namespace of our own: {error}");
    match error.errno() {
        Some(Errno::EPERM | Errno::EACCES) => Failure::Privilege(why).into(),
        Some(Errno::ENOMEM | Errno::ENOBUFS | Errno::EMFILE | Errno::ENFILE) => {
            anyhow::anyhow!(why)
        }
        _ => Failure::Kernel(why).into(),
    }
}
