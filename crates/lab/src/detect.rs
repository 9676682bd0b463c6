//! Detects network namespaces that track connections already. Only a connection proves it: whatever
//! else the kernel reports, it reports for namespaces without tracking as well.

use std::net::Ipv4Addr;
use std::net::UdpSocket;

use nix::errno::Errno;

use netlink::Protocol;
use netlink::Socket;
use netlink::ctnetlink;
use netlink::ctnetlink::Tuple;
use netlink::netns;
use netlink::netns::Error;
use netlink::netns::Namespace;

/// Those of the first `at_most` namespaces of this host for which [`tracks`] is true, the calling
/// thread's own first. The iterator probes lazily.
///
/// # Errors
/// An item is an error if a namespace cannot be opened or probed; later items may succeed.
pub fn tracking_namespaces(at_most: usize) -> impl Iterator<Item = Result<Namespace, Error>> {
    let probed = netns::all().take(at_most).map(|namespace| {
        let namespace = namespace?;
        Ok(tracks(&namespace)?.then_some(namespace))
    });
    probed.filter_map(Result::transpose)
}

/// Whether IPv4 connections over loopback are tracked in this namespace, in the default zone.
///
/// Sends a datagram to itself there, looks for its entry and deletes it; changes nothing else. The
/// kernel loads [`ctnetlink::MODULES`] for it if it may.
///
/// # Errors
/// Without `CAP_NET_ADMIN` there, or `CAP_SYS_ADMIN` for a namespace that is not the calling
/// thread's own; if loopback is down there; or if the kernel has no ctnetlink.
pub fn tracks(namespace: &Namespace) -> Result<bool, Error> {
    if namespace.inum() == Namespace::current()?.inum() {
        return tracks_here();
    }
    namespace.run(tracks_here)?
}

/// [`tracks`] for the calling thread's namespace; also works on a kernel without namespaces.
///
/// # Errors
/// As [`tracks`].
pub fn tracks_here() -> Result<bool, Error> {
    let failed = Error::call("send over loopback");
    let udp = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(&failed);
    let (sender, receiver) = (udp()?, udp()?);
    let to = receiver.local_addr().map_err(&failed)?;
    let tuple = Tuple::udp(sender.local_addr().map_err(&failed)?, to);
    sender.send_to(b"?", to).map_err(&failed)?;

    let mut socket = Socket::open(Protocol::Netfilter)?;
    // The kernel confirms the entry on the packet's way out, so it is there when `send_to` returns.
    if ctnetlink::find(&mut socket, &tuple)?.is_none() {
        return Ok(false);
    }
    match ctnetlink::delete(&mut socket, &tuple) {
        // Another program deleted it first.
        Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(true),
        deleted => Ok(deleted.map(|()| true)?),
    }
}
