//! A UDP connection in a namespace that tracks by rules which are not ours: we change the connection
//! itself, and believe what the kernel says of it if it says the same before and after the packet.

use std::cell::RefCell;
use std::ops::Range;
use std::time::Duration;

use anyhow::Context as _;
use netlink::Socket as Netlink;
use netlink::ctnetlink;
use netlink::ctnetlink::Change;
use netlink::ctnetlink::Entry;
use netlink::ctnetlink::Tuple;
use netlink::ctnetlink::status;

use super::pool::SocketKind;
use super::pool::SocketType;
use super::sampler::Sampler;
use super::sampler::Trigger;
use super::site::Site;
use super::socket::Socket;
use super::tracking::Borrowed;
use crate::expected::Ends;
use crate::expected::connection;
use crate::expected::connection::Reported;
use crate::expected::socket;
use crate::expected::socket::Family;
use crate::fields::Event;

/// How long such an entry lasts, if this process ends before it can delete it: in hours, not in days.
const TIMEOUTS_S: Range<u32> = 20_000..120_000;
/// Bits that may be set by anyone, in random order; the last one keeps the timeout as it is.
const BITS: [u32; 3] = [status::SEEN_REPLY, status::ASSURED, status::FIXED_TIMEOUT];

/// Sends the packets of a connection, changing it between them.
///
/// # Errors
/// If it cannot be made or changed.
pub fn connection(
    sampler: &mut Sampler<'_, '_>,
    site: &mut Site,
    found: &mut Borrowed,
) -> anyhow::Result<()> {
    let kind = SocketKind {
        family: Family::Inet,
        socket_type: SocketType::Datagram,
    };
    let client = site.bound(kind, sampler.random)?;
    let server = site.bound(kind, sampler.random)?;
    let orig = Ends {
        src: client.address(),
        dst: server.address(),
    };
    let tuple = Tuple::udp(orig.src, orig.dst);
    client.send(b"?", Some(orig.dst)).context("send a packet")?;
    found.made.push(tuple);
    let netlink = &mut found.netlink;
    let id = sampler.random.u64(..);
    let mut bits = BITS;
    sampler.random.shuffle(&mut bits);
    let mut deadline = None;
    for set_status in bits {
        let mark = sampler.random.u32(1..);
        let ahead_s = sampler.random.u32(TIMEOUTS_S.start..TIMEOUTS_S.end);
        let fixes = set_status == status::FIXED_TIMEOUT;
        let change = Change {
            set_status,
            mark: Some(mark),
            timeout_s: fixes.then_some(ahead_s),
        };
        let before = sampler.started.elapsed();
        ctnetlink::change(netlink, &tuple, &change).context("change a connection of our own")?;
        if fixes {
            deadline = Some((ahead_s, (before, sampler.started.elapsed())));
        }
        let told = Reported {
            id,
            netns: site.inum(),
            orig,
            status: 0,
            mark: Some(mark),
        };
        later_packet(sampler, netlink, &client, &tuple, told, deadline)?;
    }
    site.keep(client.fd);
    site.keep(server.fd);
    Ok(())
}

fn later_packet(
    sampler: &mut Sampler<'_, '_>,
    netlink: &mut Netlink,
    client: &Socket,
    tuple: &Tuple,
    told: Reported,
    deadline: Option<(u32, (Duration, Duration))>,
) -> anyhow::Result<()> {
    let entries = RefCell::new((None, None));
    let mut find = || -> anyhow::Result<Option<Entry>> {
        ctnetlink::find(netlink, tuple).context("look a connection of our own up")
    };
    sampler.take(Trigger {
        name: format!("changed {} to {}", told.orig.src, told.orig.dst),
        event: Event::Packet,
        unknown: &[],
        repeats: true,
        prepare: &mut |mark| client.mark(mark),
        perform: &mut || {
            let before = find()?;
            client
                .send(b"?", Some(told.orig.dst))
                .context("send a packet")?;
            *entries.borrow_mut() = (before, find()?);
            Ok(())
        },
        expect: &mut |_| {
            let (before, after) = *entries.borrow();
            let (before, after) = (before?, after?);
            let stable = (before.status, before.mark) == (after.status, after.mark);
            let status = before.status.filter(|_| stable)?;
            let mark = told.mark.filter(|mark| before.mark == Some(*mark));
            let mut all = connection::told(&Reported {
                status,
                mark,
                ..told
            });
            if let Some((ahead_s, between)) = deadline {
                all.extend(connection::deadline(ahead_s, between));
            }
            all.extend(socket::expected(&client.facts, false));
            Some(all)
        },
    })?;
    Ok(())
}
