//! A UDP connection in a namespace that tracks by rules that are not ours. We change the connection itself
//! through ctnetlink, and trust what the kernel reports of it if the report is the same before and after
//! the packet.

use std::ops::Range;

use anyhow::Context as _;
use netlink::ctnetlink;
use netlink::ctnetlink::Change;
use netlink::ctnetlink::Tuple;
use netlink::ctnetlink::status;

use super::pool::SocketType;
use super::sampler::Sampler;
use super::sampler::Trigger;
use super::site::Site;
use super::tracking::Borrowed;
use crate::expected::Ends;
use crate::expected::connection;
use crate::expected::socket;
use crate::expected::socket::Family;

/// The timeout of such an entry, in case this process ends before it can delete the entry: hours, not days.
const TIMEOUTS_S: Range<u32> = 20_000..120_000;
/// Bits that any request can set, in random order. The last one fixes the timeout.
const BITS: [u32; 3] = [status::SEEN_REPLY, status::ASSURED, status::FIXED_TIMEOUT];

/// Sends the packets of a connection, and changes the connection before each.
///
/// # Errors
/// If it cannot be made or changed.
pub fn connection(
    sampler: &mut Sampler<'_, '_>,
    site: &mut Site,
    borrowed: &mut Borrowed,
) -> anyhow::Result<()> {
    let kind = SocketType::Datagram.of(Family::Inet);
    let client = site.bound(kind, sampler.random)?;
    let server = site.bound(kind, sampler.random)?;
    let orig = Ends {
        src: client.facts.address(),
        dst: server.facts.address(),
    };
    let tuple = Tuple::udp(orig.src, orig.dst);
    let transmit = || client.send(b"?", Some(orig.dst)).context("send a packet");
    transmit()?;
    borrowed.made.push(tuple);
    let netlink = &mut borrowed.netlink;
    let id = sampler.random.u64(..);
    let mut bits = BITS;
    sampler.random.shuffle(&mut bits);
    let mut deadline = None;
    for set_status in bits {
        let mark = sampler.random.u32(1..);
        let ahead_s = sampler.random.u32(TIMEOUTS_S);
        let fixes = set_status == status::FIXED_TIMEOUT;
        let change = Change {
            set_status,
            mark: Some(mark),
            timeout_s: fixes.then_some(ahead_s),
        };
        let before = sampler.started.elapsed();
        ctnetlink::change(netlink, &tuple, &change).context("change a connection of ours")?;
        if fixes {
            deadline = Some((ahead_s, (before, sampler.started.elapsed())));
        }
        let name = format!("changed {} to {}", orig.src, orig.dst);
        let mut find = || ctnetlink::find(netlink, &tuple).context("look up a connection of ours");
        let transmit = || {
            let before = find()?;
            transmit()?;
            Ok((before, find()?))
        };
        let trigger = Trigger::packet(name, &client.fd);
        sampler.take(trigger, transmit, |_, (before, after)| {
            let (before, after) = before.zip(after)?;
            let is_stable = (before.status, before.mark) == (after.status, after.mark);
            let status = before.status.filter(|_| is_stable)?;
            let mark = before.mark.filter(|reported| *reported == mark);
            let mut all = connection::reported(id, site.inum, orig, status, mark);
            if let Some((ahead_s, between)) = deadline {
                all.extend(connection::deadline(ahead_s, between));
            }
            all.extend(socket::expected(&client.facts, false));
            Some(all)
        })?;
    }
    site.keep(client.fd);
    site.keep(server.fd);
    Ok(())
}
