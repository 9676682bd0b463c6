//! Network namespaces and routes.

use std::net::Ipv4Addr;

use netlink::Protocol;
use netlink::Socket;
use netlink::netns;
use netlink::netns::Namespace;
use netlink::rtnetlink::RouteReply;
use netlink::rtnetlink::RouteRequest;

use crate::probe::Attempt;
use crate::probe::Obstacle;

/// A network namespace of our own; it ends with its last handle.
pub fn namespace() -> Result<Namespace, Obstacle> {
    Namespace::create().map_err(refused)
}

/// Can this thread move to another namespace and back? Without another one it moves to its own,
/// which needs the same privilege.
pub fn moves(there: Option<&Namespace>) -> Attempt {
    let here = Namespace::current().map_err(refused)?;
    let visit = there.unwrap_or(&here).visit().map_err(refused)?;
    let arrived = Namespace::current().map_err(refused)?;
    visit.leave().map_err(refused)?;
    let back = Namespace::current().map_err(refused)?;
    if arrived.inum() == there.unwrap_or(&here).inum() && back.inum() == here.inum() {
        Ok("moved there and back".into())
    } else {
        Err(Obstacle::absent("setns(2) does not move the thread"))
    }
}

/// Does the kernel answer a route request?
pub fn route() -> Attempt {
    let mut request = RouteRequest::to(Ipv4Addr::LOCALHOST.into()).message();
    let reply = Socket::open(Protocol::Route)
        .and_then(|mut socket| socket.query(&mut request, RouteReply::parse))
        .map_err(|error| Obstacle::refused("RTM_GETROUTE", error.errno()))?;
    match reply {
        Ok(_) => Ok("answers RTM_GETROUTE".into()),
        Err(_) => Err(Obstacle::absent(
            "RTM_GETROUTE is answered with something else",
        )),
    }
}

fn refused(error: netns::Error) -> Obstacle {
    let step = match &error {
        netns::Error::Call { call, .. } => (*call).to_owned(),
        netns::Error::Netlink(_) => "bringing loopback up".into(),
        other => other.to_string(),
    };
    Obstacle::refused(step, error.errno())
}
