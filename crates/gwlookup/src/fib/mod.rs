//! The routing of one network namespace, asked of the kernel. Knows which questions lead to the
//! route of a connection; not which namespace it is in.

mod message;

use std::collections::HashMap;
use std::net::IpAddr;

use netlink::Error;
use netlink::Refusal;
use netlink::Socket;
use nix::errno::Errno;
use nix::sys::utsname::uname;

use crate::query::Query;
use crate::route::Basis;
use crate::route::InterfaceName;
use crate::route::Route;
use crate::route::RouteType;
use crate::unrouted::Unrouted;
use message::Answer;
use message::Ask;
use message::Want;

/// A namespace with more interfaces than this has its names looked up again now and then.
const NAMES_KEPT: usize = 1024;

/// `RT_TABLE_MAIN`.
const RT_TABLE_MAIN: u32 = 254;

/// A namespace's forwarding information base, through a request socket that was opened there.
pub struct Fib {
    socket: Socket,
    tells_entries: bool,
    names: HashMap<u32, InterfaceName>,
}

impl Fib {
    /// Asks through `socket`.
    #[must_use]
    pub fn new(socket: Socket) -> Self {
        let uname = uname().ok();
        let release = uname.as_ref().and_then(|uname| uname.release().to_str());
        Self {
            socket,
            tells_entries: release.is_some_and(tells_entries),
            names: HashMap::new(),
        }
    }

    /// The route that the kernel would choose now.
    ///
    /// For a packet that this host forwards the kernel wants to know the interface it came in
    /// through, which no record tells. The best guess is the way back: the interface that leads
    /// to the source. Where the two directions differ, rules on `iif` may be judged wrongly.
    ///
    /// # Errors
    /// Why there is none.
    pub fn lookup(&mut self, query: Query) -> Result<Route, Unrouted> {
        if is_unscoped(query.dst) {
            return Err(Unrouted::Unscoped);
        }
        let mut refused_with_source = None;
        if let Some(ask) = self.ask_with_source(query)? {
            match self.ask(&ask, Want::Resolved) {
                Err(Error::Refused(refusal)) if may_mean_the_source(&refusal, &ask) => {
                    log::debug!("route to {} from {:?}: {refusal}", ask.dst, ask.src);
                    refused_with_source = Some(refusal.errno);
                }
                answer => return self.conclude(&ask, answer, Basis::Whole),
            }
        }
        let ask = Ask::to(query.dst);
        let answer = self.ask(&ask, Want::Resolved);
        let confirmed = matches!(&answer, Err(Error::Refused(refusal))
            if refused_with_source == Some(refusal.errno));
        let basis = match query.src {
            Some(_) if !confirmed => Basis::Destination,
            _ => Basis::Whole,
        };
        self.conclude(&ask, answer, basis)
    }

    /// The query with its source, as the kernel wants to be asked; `None` if it would refuse.
    ///
    /// Without an incoming interface IPv4 accepts only a source of its own
    /// (`ip_route_output_key_hash_rcu`); with one it also wants the source not to be its own
    /// (`ip_route_input_slow`).
    fn ask_with_source(&mut self, query: Query) -> Result<Option<Ask>, Unrouted> {
        let Some(src) = query.src.filter(|src| !is_unscoped(*src)) else {
            return Ok(None);
        };
        let back = match self.ask(&Ask::to(src), Want::Resolved) {
            Ok(back) => back,
            Err(Error::Refused(_)) => return Ok(None),
            Err(error) => return Err(Unrouted::Failed(error)),
        };
        let with_source = Ask {
            src: Some(src),
            ..Ask::to(query.dst)
        };
        Ok(match back.kind {
            RouteType::LOCAL => Some(with_source),
            RouteType::UNICAST => back.oif.map(|oif| Ask {
                iif: Some(oif),
                ..with_source
            }),
            _ => None,
        })
    }

    fn ask(&mut self, ask: &Ask, want: Want) -> Result<Answer, Error> {
        let answer = self
            .socket
            .query(&mut ask.request(want), message::answer)??;
        Ok(answer)
    }

    fn conclude(
        &mut self,
        ask: &Ask,
        answer: Result<Answer, Error>,
        basis: Basis,
    ) -> Result<Route, Unrouted> {
        let resolved = match answer {
            Ok(resolved) => resolved,
            Err(Error::Refused(refusal)) => {
                return refused(refusal).map(|kind| Route::without_way(kind, basis));
            }
            Err(error) => return Err(Unrouted::Failed(error)),
        };
        let entry = self.tells_entries.then(|| self.ask(ask, Want::Entry));
        // The route may have gone between the two questions: then its prefix is not known.
        let entry = entry.and_then(Result::ok);
        Ok(Route {
            kind: resolved.kind,
            gateway: resolved.gateway,
            oif: resolved.oif,
            oif_name: resolved.oif.and_then(|index| self.name(index)),
            src: resolved.src.or(entry.and_then(|entry| entry.src)),
            prefix: entry.map(|entry| entry.prefix),
            table: entry
                .and_then(|entry| entry.table)
                .or(resolved.table)
                .filter(|table| *table != RT_TABLE_MAIN || !is_in_merged_table(&resolved)),
            basis,
        })
    }

    fn name(&mut self, index: u32) -> Option<InterfaceName> {
        if let Some(name) = self.names.get(&index) {
            return Some(*name);
        }
        let name = self
            .socket
            .query(&mut message::link_request(index), message::link_name)
            .inspect_err(|error| log::debug!("name of interface {index}: {error}"))
            .ok()?
            .ok()?;
        if self.names.len() == NAMES_KEPT {
            self.names.clear();
        }
        self.names.insert(index, name);
        Some(name)
    }
}

/// The type of route that the kernel answers with an error instead of a message (`fib_props` in
/// `net/ipv4/fib_semantics.c`; `ip6_rt_type_to_error` in `net/ipv6/route.c`).
fn refused(refusal: Refusal) -> Result<RouteType, Unrouted> {
    match refusal.errno {
        Errno::EHOSTUNREACH => Ok(RouteType::UNREACHABLE),
        Errno::EACCES => Ok(RouteType::PROHIBIT),
        // A request that the kernel finds malformed is EINVAL too, but with words.
        Errno::EINVAL if refusal.text.is_none() => Ok(RouteType::BLACKHOLE),
        // No entry, or one that says `throw` and nothing after it.
        Errno::ENETUNREACH => Err(Unrouted::NoRoute),
        _ => Err(Unrouted::Failed(Error::Refused(refusal))),
    }
}

/// May the kernel have refused the source, or the interface that the packet was guessed to come
/// in through, rather than the destination? A martian is `EINVAL`, once `EXDEV`; an interface
/// that does not forward is `EHOSTUNREACH`.
fn may_mean_the_source(refusal: &Refusal, ask: &Ask) -> bool {
    match refusal.errno {
        Errno::ENETUNREACH | Errno::EACCES => false,
        Errno::EHOSTUNREACH => ask.iif.is_some(),
        _ => true,
    }
}

/// Without rules of one's own IPv4 has one trie for the tables `local` and `main`, and the kernel
/// calls it `main` (`fib_trie_unmerge` in `net/ipv4/fib_trie.c`).
fn is_in_merged_table(answer: &Answer) -> bool {
    answer.prefix.address.is_ipv4()
        && matches!(answer.kind, RouteType::LOCAL | RouteType::BROADCAST)
}

/// Does a kernel of this release know `RTM_F_FIB_MATCH`? One that does not would ignore the flag
/// and answer with a prefix of one address. (4.13: commits b61798130f1b, 18c3a61c4264)
fn tells_entries(release: &str) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let major = numbers.next().unwrap_or(0);
    let minor = numbers.next().unwrap_or(0);
    (major, minor) >= (4, 13)
}

/// Does the address mean something only together with an interface?
fn is_unscoped(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(errno: Errno, text: Option<&str>) -> Refusal {
        Refusal {
            errno,
            text: text.map(str::to_owned),
            offset_bytes: None,
        }
    }

    #[test]
    fn errors_that_are_routes_are_told_from_errors() {
        let strict = refusal(Errno::EINVAL, Some("Invalid values in header"));
        let failed = |refusal: &Refusal| Unrouted::Failed(Error::Refused(refusal.clone()));
        for (refusal, expected) in [
            (refusal(Errno::EINVAL, None), Ok(RouteType::BLACKHOLE)),
            (
                refusal(Errno::EHOSTUNREACH, None),
                Ok(RouteType::UNREACHABLE),
            ),
            (refusal(Errno::EACCES, None), Ok(RouteType::PROHIBIT)),
            (refusal(Errno::ENETUNREACH, None), Err(Unrouted::NoRoute)),
            (strict.clone(), Err(failed(&strict))),
        ] {
            assert_eq!(refused(refusal.clone()), expected, "{refusal}");
        }
    }

    #[test]
    fn what_may_be_the_fault_of_a_guess_is_no_answer() {
        let own = Ask::to([192, 0, 2, 1].into());
        let forwarded = Ask {
            iif: Some(3),
            ..own
        };
        for (errno, of_own, of_forwarded) in [
            (Errno::EINVAL, true, true),
            (Errno::EXDEV, true, true),
            (Errno::EHOSTUNREACH, false, true),
            (Errno::ENETUNREACH, false, false),
            (Errno::EACCES, false, false),
        ] {
            let refusal = refusal(errno, None);
            assert_eq!(may_mean_the_source(&refusal, &own), of_own, "{errno}");
            assert_eq!(
                may_mean_the_source(&refusal, &forwarded),
                of_forwarded,
                "{errno}"
            );
        }
    }

    #[test]
    fn addresses_that_need_an_interface() {
        for (address, unscoped) in [
            ("fe80::1", true),
            ("ff02::1", true),
            ("2001:db8::1", false),
            ("::1", false),
            ("169.254.0.1", false),
        ] {
            assert_eq!(is_unscoped(address.parse().unwrap()), unscoped, "{address}");
        }
    }

    #[test]
    fn entries_are_asked_for_where_the_kernel_tells_them() {
        for (release, tells) in [
            ("6.18.0-foo", true),
            ("4.13", true),
            ("4.9.337", false),
            ("3.10.0-1160.el7", false),
            ("5.4-rc1", true),
            ("", false),
        ] {
            assert_eq!(tells_entries(release), tells, "{release}");
        }
    }
}
