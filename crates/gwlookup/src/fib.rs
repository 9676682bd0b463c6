//! Route lookups in one network namespace. Knows which requests find the route of a connection;
//! not which namespace it is in.

use std::collections::HashMap;
use std::net::IpAddr;

use netlink::Error;
use netlink::Refusal;
use netlink::Socket;
use netlink::rtnetlink::RouteReply;
use netlink::rtnetlink::RouteRequest;
use netlink::rtnetlink::link;
use nix::errno::Errno;
use nix::libc::RT_TABLE_MAIN;
use nix::sys::utsname::uname;

use crate::query::Query;
use crate::route::Basis;
use crate::route::Prefix;
use crate::route::Route;
use crate::route::RouteType;
use crate::unrouted::Unrouted;

/// The cache of interface names is emptied when it is as long as this.
const NAMES_KEPT: usize = 1024;

/// A namespace's forwarding information base, through a request socket that was opened there.
pub struct Fib {
    socket: Socket,
    has_fib_match: bool,
    names: HashMap<u32, String>,
}

impl Fib {
    /// Looks up through `socket`.
    #[must_use]
    pub fn new(socket: Socket) -> Self {
        let uname = uname().ok();
        let release = uname.as_ref().and_then(|uname| uname.release().to_str());
        Self {
            socket,
            has_fib_match: release.is_some_and(has_fib_match),
            names: HashMap::new(),
        }
    }

    /// The route that the kernel would choose now.
    ///
    /// For a forwarded packet the kernel needs the incoming interface, which records lack. The best
    /// guess is the reverse path: the interface that leads to the source. Where routing is
    /// asymmetric, rules on `iif` may match wrongly.
    ///
    /// # Errors
    /// The reason why there is no route.
    pub fn lookup(&mut self, query: Query) -> Result<Route, Unrouted> {
        if is_unscoped(query.dst) {
            return Err(Unrouted::Unscoped);
        }
        let mut refused_with_source = None;
        if let Some(request) = self.with_source(query)? {
            match self.reply(&request) {
                Err(Error::Refused(refusal)) if may_mean_the_source(&refusal, &request) => {
                    log::debug!("route to {} from {:?}: {refusal}", request.dst, request.src);
                    refused_with_source = Some(refusal.errno);
                }
                reply => return self.conclude(&request, reply, Basis::Full),
            }
        }
        let request = RouteRequest::to(query.dst);
        let reply = self.reply(&request);
        let confirmed = matches!(&reply, Err(Error::Refused(refusal))
            if refused_with_source == Some(refusal.errno));
        let basis = match query.src {
            Some(_) if !confirmed => Basis::Destination,
            _ => Basis::Full,
        };
        self.conclude(&request, reply, basis)
    }

    /// The lookup with its source, in the form that the kernel accepts; `None` if there is none.
    ///
    /// Without an incoming interface IPv4 accepts only a source address of this host
    /// (`ip_route_output_key_hash_rcu`); with one it accepts only other addresses
    /// (`ip_route_input_slow`).
    fn with_source(&mut self, query: Query) -> Result<Option<RouteRequest>, Unrouted> {
        let Some(src) = query.src.filter(|src| !is_unscoped(*src)) else {
            return Ok(None);
        };
        let back = match self.reply(&RouteRequest::to(src)) {
            Ok(back) => back,
            Err(Error::Refused(_)) => return Ok(None),
            Err(error) => return Err(Unrouted::Failed(error.into())),
        };
        let iif = match RouteType(back.kind) {
            RouteType::LOCAL => None,
            RouteType::UNICAST if back.oif.is_some() => back.oif,
            _ => return Ok(None),
        };
        Ok(Some(RouteRequest {
            src: Some(src),
            iif,
            ..RouteRequest::to(query.dst)
        }))
    }

    fn reply(&mut self, request: &RouteRequest) -> Result<RouteReply, Error> {
        Ok(self
            .socket
            .query(&mut request.message(), RouteReply::parse)??)
    }

    fn conclude(
        &mut self,
        request: &RouteRequest,
        reply: Result<RouteReply, Error>,
        basis: Basis,
    ) -> Result<Route, Unrouted> {
        let route = match reply {
            Ok(route) => route,
            Err(Error::Refused(refusal)) => {
                return refused(refusal).map(|kind| Route::without_next_hop(kind, basis));
            }
            Err(error) => return Err(Unrouted::Failed(error.into())),
        };
        let fib_match = RouteRequest {
            fib_match: true,
            ..*request
        };
        let entry = self.has_fib_match.then(|| self.reply(&fib_match));
        // The route may have been deleted between the two requests: then its prefix is unknown.
        let entry = entry.and_then(Result::ok);
        Ok(Route {
            kind: RouteType(route.kind),
            gateway: route.gateway,
            oif: route.oif,
            oif_name: route.oif.and_then(|index| self.name(index)),
            src: route.src.or(entry.and_then(|entry| entry.src)),
            prefix: entry.map(|entry| Prefix(entry.dst, entry.dst_len)),
            table: entry
                .and_then(|entry| entry.table)
                .or(route.table)
                .filter(|table| *table != u32::from(RT_TABLE_MAIN) || !is_in_merged_table(&route)),
            basis,
        })
    }

    fn name(&mut self, index: u32) -> Option<String> {
        if let Some(name) = self.names.get(&index) {
            return Some(name.clone());
        }
        let name = self
            .socket
            .query(&mut link::get(index), link::name)
            .inspect_err(|error| log::debug!("name of interface {index}: {error}"))
            .ok()?
            .ok()?;
        if self.names.len() == NAMES_KEPT {
            self.names.clear();
        }
        self.names.insert(index, name.clone());
        Some(name)
    }
}

/// The type of a route that the kernel answers with an error instead of a reply (`fib_props` in
/// `net/ipv4/fib_semantics.c`; `ip6_rt_type_to_error` in `net/ipv6/route.c`).
fn refused(refusal: Refusal) -> Result<RouteType, Unrouted> {
    match refusal.errno {
        Errno::EHOSTUNREACH => Ok(RouteType::UNREACHABLE),
        Errno::EACCES => Ok(RouteType::PROHIBIT),
        // A request that the kernel finds malformed is EINVAL too, but with words.
        Errno::EINVAL if refusal.text.is_none() => Ok(RouteType::BLACKHOLE),
        // No entry, or a `throw` route and none after it.
        Errno::ENETUNREACH => Err(Unrouted::NoRoute),
        _ => Err(Unrouted::Failed(Error::Refused(refusal).into())),
    }
}

/// May the kernel have refused the source or the guessed incoming interface, rather than the
/// destination? A martian is `EINVAL`, on some kernels `EXDEV`; an interface that does not forward is
/// `EHOSTUNREACH`.
fn may_mean_the_source(refusal: &Refusal, request: &RouteRequest) -> bool {
    match refusal.errno {
        Errno::ENETUNREACH | Errno::EACCES => false,
        Errno::EHOSTUNREACH => request.iif.is_some(),
        _ => true,
    }
}

/// In a namespace without rules of its own, IPv4 has one trie for the tables `local` and `main`, and
/// the kernel reports it as `main` (`fib_trie_unmerge` in `net/ipv4/fib_trie.c`).
fn is_in_merged_table(route: &RouteReply) -> bool {
    route.dst.is_ipv4()
        && matches!(
            RouteType(route.kind),
            RouteType::LOCAL | RouteType::BROADCAST
        )
}

/// Does a kernel of this release know `RTM_F_FIB_MATCH`? An older one ignores the flag and answers
/// with a prefix of one address. (4.13: commits b61798130f1b, 18c3a61c4264)
fn has_fib_match(release: &str) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let major = numbers.next().unwrap_or(0);
    let minor = numbers.next().unwrap_or(0);
    (major, minor) >= (4, 13)
}

/// Is the address ambiguous without an interface?
fn is_unscoped(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_are_routes_are_recognised() {
        let strict = Refusal {
            text: Some("Invalid values in header".into()),
            ..Refusal::from(Errno::EINVAL)
        };
        let failed = |refusal: &Refusal| Unrouted::Failed(Error::Refused(refusal.clone()).into());
        for (refusal, expected) in [
            (Errno::EINVAL.into(), Ok(RouteType::BLACKHOLE)),
            (Errno::EHOSTUNREACH.into(), Ok(RouteType::UNREACHABLE)),
            (Errno::EACCES.into(), Ok(RouteType::PROHIBIT)),
            (Errno::ENETUNREACH.into(), Err(Unrouted::NoRoute)),
            (strict.clone(), Err(failed(&strict))),
        ] {
            assert_eq!(refused(refusal.clone()), expected, "{refusal}");
        }
    }

    #[test]
    fn what_may_be_the_fault_of_a_guess_is_no_answer() {
        let own = RouteRequest::to([192, 0, 2, 1].into());
        let forwarded = RouteRequest {
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
            let refusal = Refusal::from(errno);
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
    fn entries_are_requested_from_4_13_on() {
        for (release, has) in [
            ("6.18.0-foo", true),
            ("4.13", true),
            ("4.9.337", false),
            ("3.10.0-1160.el7", false),
            ("5.4-rc1", true),
            ("", false),
        ] {
            assert_eq!(has_fib_match(release), has, "{release}");
        }
    }
}
