//! `--get`: looks up one route and prints it.

use std::fmt::Write as _;
use std::net::IpAddr;

use netlink::Protocol;
use netlink::netns;
use netlink::netns::Namespace;
use serde::Serialize;
use shared::cli::log::SUMMARY;
use shared::exit::Answer;
use shared::exit::Failure;
use shared::line::Lines;

use crate::access;
use crate::cli::Format;
use crate::cli::NetnsName;
use crate::cli::Target;
use crate::fib::Fib;
use crate::query::Query;
use crate::route::Basis;
use crate::route::Route;
use crate::routes;
use crate::unrouted::Unrouted;

/// The answer as JSON: the query, and the route as in a record.
#[derive(Serialize)]
struct Routed<'a> {
    netns: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    src: Option<IpAddr>,
    dst: IpAddr,
    route: &'a Route,
}

/// Prints the route to the target; the answer is no if there is none.
///
/// # Errors
/// If the namespace cannot be found or entered, or the lookup fails.
pub fn run(target: &Target, format: Format) -> anyhow::Result<Answer> {
    let (netns, mut fib) = match &target.netns {
        Some(name) => other(name)?,
        None => routes::own()?,
    };
    let query = Query {
        src: target.src,
        dst: target.dst,
    };
    let route = match fib.lookup(query) {
        Ok(route) => route,
        Err(Unrouted::NoRoute) => {
            log::info!(target: SUMMARY, "no route to {}", target.dst);
            return Ok(Answer::No);
        }
        Err(why) => return Err(Failure::Failed(format!("route to {}: {why}", target.dst)).into()),
    };
    if route.basis == Basis::Destination {
        log::warn!("the kernel refuses this source; the route is by destination alone");
    }
    let mut out = Lines::stdout();
    match format {
        Format::Json => out.json(&Routed {
            netns,
            src: target.src,
            dst: target.dst,
            route: &route,
        })?,
        Format::Text => out.text(&sentence(target, &route))?,
    }
    out.flush()?;
    Ok(Answer::Done)
}

/// The namespace of this name: its inode number and its routes.
fn other(name: &NetnsName) -> anyhow::Result<(u32, Fib)> {
    let opened = match name {
        NetnsName::Inum(inum) => netns::find(*inum),
        NetnsName::Path(path) => Namespace::open(path),
    }
    .and_then(|namespace| {
        let socket = namespace.socket(Protocol::Route)?;
        Ok((namespace.inum(), Fib::new(socket)))
    });
    opened.map_err(|error| match access::missing(&error) {
        Some(privileges) => Failure::Privilege(format!("{error}: {privileges} missing")).into(),
        None => error.into(),
    })
}

fn sentence(target: &Target, route: &Route) -> String {
    let mut text = target.dst.to_string();
    let mut add = |word: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = write!(text, " {word} {value}");
        }
    };
    add("from", target.src.map(|src| src.to_string()));
    add("is", Some(route.kind.name().into_owned()));
    add("via", route.gateway.map(|gateway| gateway.to_string()));
    add("dev", route.interface());
    add("src", route.src.map(|src| src.to_string()));
    add("match", route.prefix.map(|prefix| prefix.to_string()));
    add("table", route.table.map(|table| table.to_string()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::RouteType;

    #[test]
    fn a_sentence_has_what_is_known() {
        let target: Target = "192.0.2.1,10.0.0.1".parse().unwrap();
        let mut route = Route::without_next_hop(RouteType::UNICAST, Basis::Full);
        assert_eq!(
            sentence(&target, &route),
            "192.0.2.1 from 10.0.0.1 is unicast"
        );
        route.gateway = Some([10, 0, 0, 254].into());
        route.oif = Some(7);
        route.table = Some(254);
        assert_eq!(
            sentence(&target, &route),
            "192.0.2.1 from 10.0.0.1 is unicast via 10.0.0.254 dev if7 table 254"
        );
        route.oif_name = Some("eth0".into());
        assert!(sentence(&target, &route).contains("dev eth0"));
    }
}
