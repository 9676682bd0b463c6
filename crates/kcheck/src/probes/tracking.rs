//! Connection tracking, switched on in a network namespace of our own by the rules that `guesser`
//! samples with: those of nf_tables, and those of the legacy iptables interface.

use std::fs;
use std::net::Ipv4Addr;
use std::net::SocketAddrV4;
use std::path::Path;

use lab::Part;
use lab::iptables;
use lab::iptables::LegacyRules;
use lab::nft::Rewrite;
use lab::nft::Ruleset;
use netlink::Protocol;
use netlink::Refusal;
use netlink::Socket;

use crate::probe::Attempt;
use crate::probe::Obstacle;

use super::loading::Loading;
use super::loading::not_tried;
use super::loopback;

/// The address that the NAT rule rewrites to 127.0.0.1.
const REWRITTEN: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);
const SYSCTLS: &str = "/proc/sys/net/netfilter";

/// Rules that were accepted, and those that were not.
pub struct Tracking {
    rules: Result<Vec<(Part, Refusal)>, Obstacle>,
    nat: Result<(), Obstacle>,
    legacy: Result<Vec<(Part, iptables::Refusal)>, Obstacle>,
}

impl Tracking {
    /// Switches it on in the namespace that the calling thread is in, if that is our own.
    pub fn switch_on(own_namespace: bool, loading: &Loading) -> Self {
        let nat = loading.allows_nat();
        if !own_namespace {
            let why = "not tried: there is no network namespace of our own to try it in";
            let untried = Obstacle::Undecided(why.into());
            return Self {
                rules: Err(untried.clone()),
                nat,
                legacy: Err(untried),
            };
        }
        Self {
            rules: by_nft(loading, nat.is_ok()),
            nat,
            legacy: by_iptables(loading),
        }
    }

    /// Are connections tracked?
    pub fn is_on(&self) -> bool {
        self.switched().is_ok()
    }

    /// Did the kernel accept any rules? If not, what is in the way of the usual ones?
    fn switched(&self) -> Attempt {
        self.either(Part::Tracking)
    }

    /// Did the kernel accept these rules, or else their legacy form?
    pub fn either(&self, part: Part) -> Attempt {
        self.part(part)
            .or_else(|obstacle| self.legacy_part(part).map_err(|_| obstacle))
    }

    /// Did the kernel accept the legacy rules that `guesser` cannot do without?
    pub fn by_iptables(&self) -> Attempt {
        self.legacy_part(Part::Tracking)?;
        self.legacy_part(Part::Dnat)?;
        self.legacy_part(Part::Snat)
    }

    fn legacy_part(&self, part: Part) -> Attempt {
        let refused = self.legacy.as_ref().map_err(Clone::clone)?;
        let is_of = |of| [Part::Tracking, part].contains(&of);
        match refused.iter().find(|(of, _)| is_of(*of)) {
            None => Ok("legacy iptables rules accepted".into()),
            Some((_, iptables::Refusal::WouldLoad(modules))) => Err(not_tried(modules)),
            Some((_, iptables::Refusal::Kernel(errno))) => {
                Err(Obstacle::refused("legacy iptables rules", Some(*errno)))
            }
        }
    }

    /// Did the kernel accept these rules?
    pub fn part(&self, part: Part) -> Attempt {
        let refused = self.rules.as_ref().map_err(Clone::clone)?;
        match refused.iter().find(|(of, _)| *of == part) {
            None => Ok("nf_tables rules accepted".into()),
            Some((_, refusal)) => Err(Obstacle::refused("nf_tables rule", Some(refusal.errno))),
        }
    }

    /// Is the destination of our own connection rewritten?
    pub fn rewrites(&self) -> Attempt {
        self.part(Part::Tracking)?;
        self.nat.clone()?;
        self.part(Part::Dnat)?;
        if loopback::arrives_at(REWRITTEN)? {
            Ok("our own packet reached the rewritten destination".into())
        } else {
            Err(Obstacle::absent("rules are accepted and rewrite nothing"))
        }
    }

    /// Is our own connection tracked, and by what?
    pub fn tracks(&self) -> Attempt {
        let form = form();
        match (self.switched(), form) {
            (Err(Obstacle::Refused { .. }), None) => {
                return Err(Obstacle::absent("neither built in nor loaded"));
            }
            (attempt, _) => attempt?,
        };
        loopback::send_datagram()?;
        let count = fs::read_to_string(Path::new(SYSCTLS).join("nf_conntrack_count"));
        match count.ok().and_then(|text| text.trim().parse::<u32>().ok()) {
            Some(0) => Err(Obstacle::absent("our own connection is not tracked")),
            Some(_) => Ok(format!(
                "our own connection is tracked; {}",
                form.unwrap_or("built in")
            )),
            None => Err(Obstacle::Undecided(format!(
                "no {SYSCTLS}/nf_conntrack_count to see it by"
            ))),
        }
    }
}

fn by_nft(loading: &Loading, nat: bool) -> Result<Vec<(Part, Refusal)>, Obstacle> {
    loading.allows_tracking()?;
    let mut ruleset = Ruleset {
        zone: true,
        mark: true,
        ..Ruleset::default()
    };
    if nat {
        ruleset.dnat.push(Rewrite {
            from: REWRITTEN,
            from_port: None,
            to: Ipv4Addr::LOCALHOST,
            to_port: None,
        });
    }
    let mut socket = Socket::open(Protocol::Netfilter)
        .map_err(|error| Obstacle::refused("socket(NETLINK_NETFILTER)", error.errno()))?;
    ruleset
        .install(&mut socket)
        .map_err(|error| Obstacle::refused("nf_tables rules", error.errno()))
}

fn by_iptables(loading: &Loading) -> Result<Vec<(Part, iptables::Refusal)>, Obstacle> {
    let end = SocketAddrV4::new(REWRITTEN, 7);
    let rules = LegacyRules {
        zone: true,
        mark: Some(1),
        dnat: vec![end],
        snat: vec![end],
    };
    rules
        .install(loading.legacy())
        .map_err(|errno| Obstacle::refused("socket(SOCK_DGRAM)", Some(errno)))
}

/// How nf_conntrack is in the kernel, if it is.
fn form() -> Option<&'static str> {
    let sysfs = Path::new("/sys/module/nf_conntrack");
    if sysfs.join("initstate").exists() {
        Some("a loaded module")
    } else if sysfs.exists() || Path::new(SYSCTLS).join("nf_conntrack_max").exists() {
        Some("built in")
    } else {
        None
    }
}
