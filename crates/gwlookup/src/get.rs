//! `--get`: one question, one answer.

use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::Context as _;
use netlink::Protocol;
use netlink::Socket;
use netlink::netns;
use netlink::netns::Namespace;
use serde::Serialize;
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
use crate::unrouted::Unrouted;

/// The answer as JSON: the question, and the route as in a record.
#[derive(Serialize)]
struct Told<'a> {
    netns: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    src: Option<IpAddr>,
    dst: IpAddr,
    route: &'a Route,
}

/// Prints the route to the target; the answer is no if there is none.
///
/// # Errors
/// If the namespace cannot be found or entered, or the kernel cannot be asked.
pub fn run(target: &Target, format: Format) -> anyhow::Result<Answer> {
    let (netns, socket) = open(target.netns.as_ref())?;
    let query = Query {
        src: target.src,
        dst: target.dst,
    };
    let route = match Fib::new(socket).lookup(query) {
        Ok(route) => route,
        Err(Unrouted::NoRoute) => {
            log::info!("no route to {}", target.dst);
            return Ok(Answer::No);
        }
        Err(why) => return Err(Failure::Failed(format!("route to {}: {why}", target.dst)).into()),
    };
    if route.basis == Basis::Destination {
        log::warn!("the kernel routes no packet of this source so; this is by destination alone");
    }
    let mut out = Lines::stdout();
    match format {
        Format::Json => out.json(&Told {
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

fn open(netns: Option<&NetnsName>) -> anyhow::Result<(u32, Socket)> {
    let Some(name) = netns else {
        let own = Namespace::current().context("find out this network namespace")?;
        let socket = Socket::open(Protocol::Route).context("open a route socket")?;
        return Ok((own.inum(), socket));
    };
    let opened = match name {
        NetnsName::Inum(inum) => netns::find(*inum),
        NetnsName::Path(path) => Namespace::open(path),
    }
    .and_then(|namespace| Ok((namespace.inum(), namespace.socket(Protocol::Route)?)));
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
    let name = route.oif_name.map(|name| name.text().into_owned());
    add("dev", name.or(route.oif.map(|oif| format!("if{oif}"))));
    add("src", route.src.map(|src| src.to_string()));
    add("match", route.prefix.map(|prefix| prefix.to_string()));
    add("table", route.table.map(|table| table.to_string()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::InterfaceName;
    use crate::route::RouteType;

    #[test]
    fn a_sentence_has_what_is_known() {
        let target: Target = "192.0.2.1,10.0.0.1".parse().unwrap();
        let mut route = Route::without_way(RouteType::UNICAST, Basis::Whole);
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
        route.oif_name = InterfaceName::new(b"eth0");
        assert!(sentence(&target, &route).contains("dev eth0"));
    }
}
