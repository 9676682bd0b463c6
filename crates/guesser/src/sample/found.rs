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

use super::camera::Act;
use super::camera::Camera;
use super::ground::Ground;
use super::socket::Kind;
use super::socket::Manner;
use super::socket::Socket;
use super::tracking::Found;
use crate::expected::Ends;
use crate::expected::connection;
use crate::expected::connection::Told;
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
    camera: &mut Camera<'_, '_>,
    ground: &mut Ground,
    found: &mut Found,
) -> anyhow::Result<()> {
    let kind = Kind {
        family: Family::Inet,
        manner: Manner::Datagrams,
    };
    let client = Socket::bound(ground, kind, camera.random)?;
    let server = Socket::bound(ground, kind, camera.random)?;
    let orig = Ends {
        src: client.address(),
        dst: server.address(),
    };
    let tuple = Tuple::udp(orig.src, orig.dst);
    client.send(b"?", Some(orig.dst)).context("send a packet")?;
    found.made.push(tuple);
    let netlink = &mut found.netlink;
    let id = camera.random.number();
    let mut bits = BITS;
    camera.random.shuffle(&mut bits);
    let mut deadline = None;
    for set_status in bits {
        let mark = camera.random.mark();
        let ahead_s = camera.random.between(TIMEOUTS_S.start, TIMEOUTS_S.end);
        let fixes = set_status == status::FIXED_TIMEOUT;
        let change = Change {
            set_status,
            mark: Some(mark),
            timeout_s: fixes.then_some(ahead_s),
        };
        let before = camera.started.elapsed();
        ctnetlink::change(netlink, &tuple, &change).context("change a connection of our own")?;
        if fixes {
            deadline = Some((ahead_s, (before, camera.started.elapsed())));
        }
        let told = Told {
            id,
            netns: ground.inum(),
            orig,
            status: 0,
            mark: Some(mark),
        };
        later_packet(camera, netlink, &client, &tuple, told, deadline)?;
    }
    ground.keep(client.fd);
    ground.keep(server.fd);
    Ok(())
}

fn later_packet(
    camera: &mut Camera<'_, '_>,
    netlink: &mut Netlink,
    client: &Socket,
    tuple: &Tuple,
    told: Told,
    deadline: Option<(u32, (Duration, Duration))>,
) -> anyhow::Result<()> {
    let entries = RefCell::new((None, None));
    let mut find = || -> anyhow::Result<Option<Entry>> {
        ctnetlink::find(netlink, tuple).context("look a connection of our own up")
    };
    camera.take(Act {
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
            let mut all = connection::told(&Told {
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
