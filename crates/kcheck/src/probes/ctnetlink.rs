//! The netlink interface of connection tracking: the fallback where BPF does not work.

use std::os::fd::AsFd as _;
use std::time::Duration;
use std::time::Instant;

use netlink::Listener;
use netlink::Message;
use netlink::Protocol;
use netlink::Received;
use netlink::Request;
use netlink::Socket;
use netlink::ctnetlink::CTA_STATS_GLOBAL_ENTRIES;
use netlink::ctnetlink::GET_STATS;
use netlink::nfnetlink::NFNLGRP_CONNTRACK_NEW;
use netlink::nfnetlink::nfgenmsg;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;

use crate::probe::Attempt;
use crate::probe::During as _;
use crate::probe::Obstacle;

use super::loading::Loading;
use super::loopback;

/// An event is queued before the packet that caused it has left.
const PATIENCE: Duration = Duration::from_millis(200);

/// Does it answer, and count our own connection? A dump of the table would prove no more, and takes longer
/// the larger the machine's table is, even in an empty namespace.
pub fn answers(tracked: bool, loading: &Loading) -> Attempt {
    loading.allows_ctnetlink()?;
    if tracked {
        loopback::send_datagram()?;
    }
    let mut request = Request::new(GET_STATS, 0, &nfgenmsg(0, 0));
    let entries = Socket::open(Protocol::Netfilter)
        .and_then(|mut socket| socket.query(&mut request, entries))
        .during("ctnetlink request")?;
    match entries {
        Some(0) if tracked => Err(Obstacle::absent("our own connection is not counted")),
        Some(_) => Ok("answers with the number of connections".into()),
        None => Err(Obstacle::absent("the answer has no number of connections")),
    }
}

/// `CTA_STATS_GLOBAL_ENTRIES` of an answer.
fn entries(answer: &Message<'_>) -> Option<u32> {
    let (_, attrs) = answer.split::<4>().ok()?;
    attrs
        .flatten()
        .find(|attr| attr.kind == CTA_STATS_GLOBAL_ENTRIES)?
        .u32_be()
        .ok()
}

/// Is a new connection reported?
pub fn events(tracked: bool, loading: &Loading) -> Attempt {
    loading.allows_ctnetlink()?;
    let mut listener = Listener::open(Protocol::Netfilter).during("ctnetlink request")?;
    listener
        .join(NFNLGRP_CONNTRACK_NEW)
        .during("joining NFNLGRP_CONNTRACK_NEW")?;
    loopback::send_datagram()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match listener.receive().during("ctnetlink request")? {
            Received::Messages(_) | Received::Lost => {
                return Ok("a new connection is reported".into());
            }
            Received::Nothing => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        // Interrupted or not, the loop looks again until the deadline.
        let _ = poll(&mut fds, timeout);
    }
    Err(if tracked {
        Obstacle::absent("our own connection is not reported")
    } else {
        Obstacle::undecided("the group is joined, but no connection is tracked here")
    })
}
