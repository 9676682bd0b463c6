//! Connection tracking, turned on in our own network namespace by the rules that `guesser` uses: those of
//! nf_tables, and those of the legacy iptables interface.

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
use crate::probe::During as _;
use crate::probe::Obstacle;
use crate::probe::answer;

use super::loading::Loading;
use super::loading::not_tried;
use super::loopback;

/// The address that the NAT rule rewrites to 127.0.0.1.
const REWRITTEN: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);
const SYSCTLS: &str = "/proc/sys/net/netfilter";

/// The rules that the kernel refused, by the way in which they were made.
pub struct Tracking {
    rules: Result<Vec<(Part, Refusal)>, Obstacle>,
    nat: Result<(), Obstacle>,
    legacy: Result<Vec<(Part, iptables::Refusal)>, Obstacle>,
}

impl Tracking {
    /// Turns tracking on in the calling thread's namespace, if that is our own.
    pub fn switch_on(own_namespace: bool, loading: &Loading) -> Self {
        let nat = loading.allows_nat();
        if !own_namespace {
            let untried = Obstacle::undecided("not tried: it needs a network namespace of our own");
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

    /// Did the kernel accept either form of the rules that turn tracking on?
    pub fn is_on(&self) -> bool {
        self.either(Part::Tracking).is_ok()
    }

    /// Did the kernel accept these rules, or else their legacy form?
    pub fn either(&self, part: Part) -> Attempt {
        self.part(part)
            .or_else(|obstacle| self.legacy_part(part).map_err(|_| obstacle))
    }

    /// Did the kernel accept the legacy rules that `guesser` needs?
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
                Err(*errno).during("legacy iptables rules")
            }
        }
    }

    /// Did the kernel accept these rules?
    pub fn part(&self, part: Part) -> Attempt {
        let refused = self.rules.as_ref().map_err(Clone::clone)?;
        match refused.iter().find(|(of, _)| *of == part) {
            None => Ok("nf_tables rules accepted".into()),
            Some((_, refusal)) => Err(refusal.errno).during("nf_tables rule"),
        }
    }

    /// Is the destination of our own connection rewritten?
    pub fn rewrites(&self) -> Attempt {
        self.part(Part::Tracking)?;
        self.nat.clone()?;
        self.part(Part::Dnat)?;
        answer(
            loopback::arrives_at(REWRITTEN)?,
            "our own packet reached the rewritten destination",
            "the rules are accepted, but rewrite nothing",
        )
    }

    /// Is our own connection tracked, and by what?
    pub fn tracks(&self) -> Attempt {
        let form = form();
        let attempt = self.either(Part::Tracking);
        if matches!(attempt, Err(Obstacle::Refused { .. })) && form.is_none() {
            return Err(Obstacle::absent("neither built in nor loaded"));
        }
        attempt?;
        loopback::send_datagram()?;
        let count = fs::read_to_string(Path::new(SYSCTLS).join("nf_conntrack_count"));
        match count.ok().and_then(|text| text.trim().parse::<u32>().ok()) {
            Some(0) => Err(Obstacle::absent("our own connection is not tracked")),
            Some(_) => Ok(format!(
                "our own connection is tracked; {}",
                form.unwrap_or("built in")
            )),
            None => Err(Obstacle::undecided(format!(
                "there is no {SYSCTLS}/nf_conntrack_count to count it"
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
    let mut socket = Socket::open(Protocol::Netfilter).during("socket(NETLINK_NETFILTER)")?;
    ruleset.install(&mut socket).during("nf_tables rules")
}

fn by_iptables(loading: &Loading) -> Result<Vec<(Part, iptables::Refusal)>, Obstacle> {
    let end = SocketAddrV4::new(REWRITTEN, 7);
    let rules = LegacyRules {
        zone: true,
        mark: Some(1),
        dnat: vec![end],
        snat: vec![end],
    };
    rules.install(loading.legacy()).during("socket(SOCK_DGRAM)")
}

/// Whether nf_conntrack is built in or a loaded module, if it is there.
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
