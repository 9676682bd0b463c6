//! A kernel that has no mark, no zone, no namespace, and no timeout that is proven.

use shared::record::wire::kind;
use shared::record::wire::known;

use crate::bench::Bench;
use crate::bench::same;
use crate::case::cases;
use crate::fake::Conn;
use crate::fake::Net;

cases! {
    what_the_kernel_does_not_have_is_not_known_and_is_zero
    a_namespace_that_is_not_read_cannot_fault
}

fn what_the_kernel_does_not_have_is_not_known_and_is_zero(bench: &mut Bench) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1))?;
    // Placed again, all bytes but the fields would be others: nothing of them is read.
    bench.destroyed(0)?;
    for record in bench.records([kind::NEW, kind::DESTROY])? {
        same("known", record.known, known::STATUS)?;
        same("status", record.status, Conn::udp(1).status)?;
        same("namespace", record.netns_ino, 0)?;
        same("mark", record.mark, 0)?;
        same("zone", record.zone, 0)?;
    }
    Ok(())
}

fn a_namespace_that_is_not_read_cannot_fault(bench: &mut Bench) -> anyhow::Result<()> {
    let net = Net::Unreadable;
    bench.first_packet(
        0,
        Conn {
            net,
            ..Conn::udp(1)
        },
    )?;
    bench.records([kind::NEW])?;
    Ok(())
}
