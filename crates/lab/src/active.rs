//! Network namespaces in which connections are tracked already. Only a connection proves it: what
//! the kernel says of itself elsewhere, it says also of namespaces that do not track.

use std::io;
use std::net::Ipv4Addr;
use std::net::UdpSocket;

use nix::errno::Errno;

use netlink::Protocol;
use netlink::Socket;
use netlink::ctnetlink;
use netlink::ctnetlink::Tuple;

use netlink::netns::Error;
use netlink::netns::Namespace;
use netlink::netns::all;

/// Those of the first `at_most` namespaces of this host that [`tracks`] says to track, the
/// calling thread's own first. Each is probed when it is asked for.
///
/// # Errors
/// An item is an error if a namespace cannot be opened or probed; the next may well be.
pub fn active_namespaces(at_most: usize) -> impl Iterator<Item = Result<Namespace, Error>> {
    let probed = all().take(at_most).map(|namespace| {
        let namespace = namespace?;
        Ok(tracks(&namespace)?.then_some(namespace))
    });
    probed.filter_map(Result::transpose)
}

/// Whether IPv4 connections over loopback are tracked in this namespace, in the default zone.
///
/// Sends one datagram to itself there and looks for its entry, which is deleted then; nothing
/// else is changed. The kernel loads [`ctnetlink::MODULES`] for it if it may.
///
/// # Errors
/// Without `CAP_NET_ADMIN` there, or `CAP_SYS_ADMIN` for a namespace that is not the calling
/// thread's own; if loopback is down there; or if the kernel has no conntrack netlink.
pub fn tracks(namespace: &Namespace) -> Result<bool, Error> {
    if namespace.inum() == Namespace::current()?.inum() {
        return tracks_here();
    }
    namespace.run(tracks_here)?
}

/// The same of the namespace that the calling thread is in, on a kernel without namespaces as well.
///
/// # Errors
/// As [`tracks`].
pub fn tracks_here() -> Result<bool, Error> {
    let failed = |error: io::Error| Error::Call {
        call: "send over loopback",
        errno: Errno::from_raw(error.raw_os_error().unwrap_or_default()),
    };
    let udp = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed);
    let (sender, receiver) = (udp()?, udp()?);
    let to = receiver.local_addr().map_err(failed)?;
    let tuple = Tuple::udp(sender.local_addr().map_err(failed)?, to);
    sender.send_to(b"?", to).map_err(failed)?;

    let mut socket = Socket::open(Protocol::Netfilter)?;
    // The entry is there when the datagram is sent: it is confirmed on the way to the interface.
    if ctnetlink::find(&mut socket, &tuple)?.is_none() {
        return Ok(false);
    }
    match ctnetlink::delete(&mut socket, &tuple) {
        // Somebody else was faster.
        Err(netlink::Error::Refused(refusal)) if refusal.errno == Errno::ENOENT => Ok(true),
        deleted => Ok(deleted.map(|()| true)?),
    }
}
