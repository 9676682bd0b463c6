//! How connections come to be tracked in a ground: by nf_tables, by the legacy iptables interface, or
//! because they are already. Switches it on and says what each connection has to do to get its zone,
//! mark and rewriting.

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
use fastrand::Rng;

/// Ends that the legacy interface is told in advance; each serves one connection.
const ENDS: usize = 48;
/// How long a UDP connection lasts, before and after its second packet.
const TIMEOUTS: [&str; 2] = [
    "/proc/sys/net/netfilter/nf_conntrack_udp_timeout",
    "/proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream",
];

/// What may be used without making the kernel load a module.
#[derive(Debug, Clone)]
pub struct Access {
    allow_system_changes: bool,
    /// Modules that nf_tables lacks.
    nft: Vec<&'static str>,
}

impl Access {
    /// To the running kernel.
    #[must_use]
    pub fn to_running(allow_system_changes: bool) -> Self {
        let mut access = Self {
            allow_system_changes,
            nft: Vec::new(),
        };
        access.nft = access.lacks(nft::MODULES);
        access
    }

    /// Whether connections can be looked up and changed one by one.
    #[must_use]
    pub fn has_ctnetlink(&self) -> bool {
        self.lacks(ctnetlink::MODULES).is_empty()
    }

    /// Modules that would be loaded by asking for what is in these.
    fn lacks(&self, needed: &[&'static str]) -> Vec<&'static str> {
        if self.allow_system_changes {
            Vec::new()
        } else {
            Modules::running().would_load(needed)
        }
    }
}

/// What tracks connections.
#[derive(Debug)]
pub enum Switch {
    /// Rules of nf_tables: the zone is the packets' priority, the mark theirs, the rewriting what
    /// the first packet asks for.
    Nftables,
    /// Rules of the legacy interface: all is in the packets' mark.
    Legacy(Legacy),
    /// Rules that are not ours; connections are changed one by one.
    Borrowed(Borrowed),
}

/// Connections of ours among those of others. None of them outlives the experiment; until then each
/// keeps its place in memory.
#[derive(Debug)]
pub struct Borrowed {
    /// Finds and changes them.
    pub netlink: Netlink,
    /// Those that were made.
    pub made: Vec<Tuple>,
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        for tuple in &self.made {
            match ctnetlink::delete(&mut self.netlink, tuple) {
                // It has ended by itself.
                Err(error) if error.errno() == Some(Errno::ENOENT) => {}
                Err(error) => log::warn!("an entry of our own is left behind, {tuple:?}: {error}"),
                Ok(()) => {}
            }
        }
    }
}

/// Rules of the legacy interface, and how many of their ends are used up.
#[derive(Debug)]
pub struct Legacy {
    /// The rules.
    pub rules: LegacyRules,
    used: usize,
}

impl Legacy {
    /// Ends that no connection had yet: where to be sent, and whence to appear to come.
    pub fn next_ends(&mut self) -> Option<(u8, SocketAddrV4, SocketAddrV4)> {
        let index = self.used;
        let ends = (*self.rules.dnat.get(index)?, *self.rules.snat.get(index)?);
        self.used += 1;
        Some((u8::try_from(index).ok()?, ends.0, ends.1))
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Tracking {
    /// What tracks.
    pub switch: Switch,
    /// What connections can have.
    pub can: Abilities,
    /// What the kernel refused, and why.
    pub refused: Vec<(Part, String)>,
    timeouts: Option<[File; 2]>,
}

impl Tracking {
    /// Switches it on in the calling thread's namespace, which is ours.
    ///
    /// # Errors
    /// Exit 4 if a privilege is missing, 5 if the kernel can do it in no way that is allowed.
    pub fn switch_on(access: &Access) -> anyhow::Result<Self> {
        let by_nft = if access.nft.is_empty() {
            Self::by_nft()
        } else {
            let names = access.nft.join(" ");
            Err(Failure::Kernel(format!("not loaded: {names}")).into())
        };
        let error = match by_nft {
            Ok(tracking) => return Ok(tracking),
            Err(error) if !is_inability(&error) => return Err(error),
            Err(error) => error,
        };
        log::info!("no nf_tables: {error:#}");
        Self::by_xtables(&access.lacks(iptables::MODULES)).map_err(|legacy| {
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
        let refused = refused
            .into_iter()
            .map(|(part, refusal)| (part, refusal.to_string()));
        Self::of(Switch::Nftables, refused.collect())
    }

    fn by_xtables(missing: &[&str]) -> anyhow::Result<Self> {
        let mut random = Rng::new();
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
        let refused = refused
            .into_iter()
            .map(|(part, refusal)| (part, refusal.to_string()));
        let legacy = Legacy { rules, used: 0 };
        Self::of(Switch::Legacy(legacy), refused.collect())
    }

    /// Takes the calling thread's namespace as it is.
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

    fn of(switch: Switch, refused: Vec<(Part, String)>) -> anyhow::Result<Self> {
        let lacks = |part| refused.iter().any(|(refused, _)| *refused == part);
        if let Some((_, refusal)) = refused.iter().find(|(part, _)| *part == Part::Tracking) {
            let why = format!("this kernel cannot track connections: {refusal}");
            return Err(Failure::Kernel(why).into());
        }
        let open = |path: &str| File::options().write(true).open(path);
        let timeouts = match (open(TIMEOUTS[0]), open(TIMEOUTS[1])) {
            (Ok(first), Ok(second)) => Some([first, second]),
            (Err(error), _) | (_, Err(error)) => {
                log::debug!("{}: {error}", TIMEOUTS[0]);
                None
            }
        };
        Ok(Self {
            switch,
            can: Abilities {
                zone: !lacks(Part::Zone),
                mark: !lacks(Part::Mark),
                nat: (lacks(Part::Dnat) == lacks(Part::Snat)).then(|| !lacks(Part::Dnat)),
            },
            refused,
            timeouts,
        })
    }

    /// Makes UDP connections last so long from their next packet on; says whether it can.
    #[must_use]
    pub fn set_timeout_s(&self, seconds: u32) -> bool {
        let text = format!("{seconds}\n");
        self.timeouts.as_ref().is_some_and(|files| {
            files
                .iter()
                .all(|file| file.write_all_at(text.as_bytes(), 0).is_ok())
        })
    }
}

/// Whether an error is the kernel's inability, which something else may make up for.
#[must_use]
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
