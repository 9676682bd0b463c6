//! Memory that cannot be read, and what is not IP.

use shared::record::wire::Loss;
use shared::record::wire::kind;

use crate::bench::Bench;
use crate::bench::ESTABLISHED_REPLY;
use crate::bench::NEW;
use crate::bench::NF_ACCEPT;
use crate::bench::UNMAPPED;
use crate::case::cases;
use crate::fake::Conn;
use crate::fake::Net;

cases! {
    a_packet_that_cannot_be_read_is_a_fault
    a_connection_that_cannot_be_read_is_a_fault
    a_namespace_that_cannot_be_read_is_a_fault
    another_family_is_counted_and_has_no_end
}

fn a_packet_that_cannot_be_read_is_a_fault(bench: &mut Bench) -> anyhow::Result<()> {
    bench.object.call("on_net_dev_queue", [UNMAPPED, 0])?;
    bench.lost(&[(Loss::ReadFault, 1)])?;
    bench
        .object
        .call("run_after_confirm", [UNMAPPED, NF_ACCEPT])?;
    bench.lost(&[(Loss::ReadFault, 2)])
}

fn a_connection_that_cannot_be_read_is_a_fault(bench: &mut Bench) -> anyhow::Result<()> {
    let skb = bench.packet_of(UNMAPPED | NEW);
    bench.object.call("on_net_dev_queue", [skb, 0])?;
    bench.lost(&[(Loss::ReadFault, 1)])?;
    bench.object.call("run_after_insert", [UNMAPPED, 0])?;
    bench.lost(&[(Loss::ReadFault, 2)])?;
    bench.object.call("run_on_destroy", [UNMAPPED, 0])?;
    bench.lost(&[(Loss::ReadFault, 3)])?;
    // Its status says that it was not assured.
    let skb = bench.packet_of(UNMAPPED | ESTABLISHED_REPLY);
    bench.object.call("on_net_dev_queue", [skb, 0])?;
    bench.lost(&[(Loss::ReadFault, 4)])
}

fn a_namespace_that_cannot_be_read_is_a_fault(bench: &mut Bench) -> anyhow::Result<()> {
    let conn = bench.first_packet(
        0,
        Conn {
            net: Net::Unreadable,
            ..Conn::udp(1)
        },
    )?;
    bench.lost(&[(Loss::ReadFault, 1)])?;
    bench.entries_are(0)?;
    bench.first_packet(
        0,
        Conn {
            net: Net::First,
            ..conn
        },
    )?;
    bench.records([kind::NEW])?;
    bench.place(0, conn);
    bench.destroyed(0)?;
    bench.lost(&[(Loss::ReadFault, 2)])
}

fn another_family_is_counted_and_has_no_end(bench: &mut Bench) -> anyhow::Result<()> {
    // AF_BRIDGE.
    bench.first_packet(
        0,
        Conn {
            l3num: 7,
            ..Conn::udp(1)
        },
    )?;
    bench.lost(&[(Loss::UnknownFamily, 1)])?;
    bench.destroyed(0)?;
    bench.entries_are(0)?;
    bench.lost(&[(Loss::UnknownFamily, 1)])
}
