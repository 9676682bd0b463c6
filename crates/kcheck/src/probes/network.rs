//! Network namespaces and routes.

use std::net::Ipv4Addr;

use netlink::Protocol;
use netlink::Socket;
use netlink::netns;
use netlink::netns::Namespace;
use netlink::rtnetlink::RouteReply;
use netlink::rtnetlink::RouteRequest;

use crate::probe::Attempt;
use crate::probe::During as _;
use crate::probe::Obstacle;
use crate::probe::answer;

/// A new network namespace; it ends with its last handle.
pub fn namespace() -> Result<Namespace, Obstacle> {
    Namespace::create().map_err(refused)
}

/// Can this thread move to another namespace and back? Without another one it moves to the one that it is
/// in, which takes the same privilege.
pub fn moves(there: Option<&Namespace>) -> Attempt {
    let here = Namespace::current().map_err(refused)?;
    let visit = there.unwrap_or(&here).visit().map_err(refused)?;
    let arrived = Namespace::current().map_err(refused)?;
    visit.leave().map_err(refused)?;
    let back = Namespace::current().map_err(refused)?;
    answer(
        arrived.inum() == there.unwrap_or(&here).inum() && back.inum() == here.inum(),
        "moved there and back",
        "setns(2) does not move the thread",
    )
}

/// Does the kernel answer a route request?
pub fn route() -> Attempt {
    let mut request = RouteRequest::to(Ipv4Addr::LOCALHOST.into()).message();
    let reply = Socket::open(Protocol::Route)
        .and_then(|mut socket| socket.query(&mut request, RouteReply::parse))
        .during("RTM_GETROUTE")?;
    answer(
        reply.is_ok(),
        "answers RTM_GETROUTE",
        "RTM_GETROUTE is answered with something else",
    )
}

fn refused(error: netns::Error) -> Obstacle {
    let step = match &error {
        netns::Error::Call { call, .. } => (*call).to_owned(),
        netns::Error::Netlink(_) => "bringing loopback up".into(),
        other => other.to_string(),
    };
    Obstacle::Refused {
        step,
        errno: error.errno().map(Into::into),
    }
}
