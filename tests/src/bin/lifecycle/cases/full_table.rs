//! The table has no room, or refuses an entry.

use shared::record::status;
use shared::record::wire::Loss;
use shared::record::wire::kind;

use crate::bench::Bench;
use crate::bench::ESTABLISHED;
use crate::bench::NEW;
use crate::bench::NF_ACCEPT;
use crate::case::SMALL;
use crate::case::cases;
use crate::fake::Conn;

cases! {
    a_connection_without_room_is_counted_once
    a_connection_without_room_is_not_reported_later
    another_one_at_its_address_is_reported_when_there_is_room
    another_one_at_its_address_is_counted_while_there_is_none
    every_hook_counts_a_connection_without_room_once
    a_connection_without_room_has_no_end
    after_the_end_of_one_without_room_the_next_is_counted
    a_successor_needs_no_room
    each_family_has_its_own_room
    with_a_full_ring_buffer_too_it_is_counted_once
    a_refusal_for_another_reason_is_counted_as_such
}

const FULL: usize = SMALL as usize;
const EBUSY: u64 = 16;
const E2BIG: u64 = 7;

/// Fills the IPv4 table from slot 0 on.
fn fill(bench: &mut Bench) -> anyhow::Result<()> {
    for slot in 0..FULL {
        bench.first_packet(slot, Conn::udp(1000 + slot as u16))?;
    }
    bench.records([kind::NEW; FULL])?;
    Ok(())
}

fn after_the_end_of_one_without_room_the_next_is_counted(bench: &mut Bench) -> anyhow::Result<()> {
    fill(bench)?;
    for _ in 0..2 {
        // The same memory, tuple and translation.
        for _ in 0..2 {
            bench.first_packet(FULL, Conn::udp(1))?;
        }
        bench.destroyed(FULL)?;
    }
    bench.records([])?;
    bench.lost(&[(Loss::TableFull, 2)])
}

fn make_room(bench: &mut Bench) -> anyhow::Result<()> {
    bench.destroyed(0)?;
    bench.records([kind::DESTROY])?;
    Ok(())
}

fn a_connection_without_room_is_counted_once(bench: &mut Bench) -> anyhow::Result<()> {
    fill(bench)?;
    for round in 0..3 {
        for slot in [FULL, FULL + 1] {
            bench.first_packet(
                slot,
                Conn {
                    mark: round,
                    ..Conn::udp(slot as u16)
                },
            )?;
        }
    }
    bench.place(FULL, Conn::udp(FULL as u16).with(status::SEEN_REPLY));
    bench.packet(ESTABLISHED, FULL)?;
    bench.records([])?;
    bench.entries_are(FULL)?;
    bench.lost(&[(Loss::TableFull, 2)])
}

fn a_connection_without_room_is_not_reported_later(bench: &mut Bench) -> anyhow::Result<()> {
    fill(bench)?;
    let conn = bench.first_packet(FULL, Conn::udp(1))?;
    make_room(bench)?;
    bench.packet(NEW, FULL)?;
    bench.place(FULL, conn.with(status::SEEN_REPLY));
    bench.packet(ESTABLISHED, FULL)?;
    bench.packet(NEW, FULL)?;
    bench.records([])?;
    bench.entries_are(FULL - 1)?;
    bench.lost(&[(Loss::TableFull, 1)])
}

fn another_one_at_its_address_is_reported_when_there_is_room(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    let first = Conn::udp(1).with(status::SEEN_REPLY);
    for next in [Conn::udp(2), first.dnat(1), Conn::udp(1)] {
        bench.begin()?;
        fill(bench)?;
        bench.first_packet(FULL, first)?;
        make_room(bench)?;
        bench.first_packet(FULL, next)?;
        bench.records([kind::NEW])?;
        bench.lost(&[(Loss::TableFull, 1)])?;
    }
    // By its expiry.
    bench.begin()?;
    fill(bench)?;
    bench.first_packet(
        FULL,
        Conn {
            expires_in: -10,
            ..first
        },
    )?;
    make_room(bench)?;
    bench.first_packet(FULL, first)?;
    bench.records([kind::NEW])?;
    bench.lost(&[(Loss::TableFull, 1)])
}

fn another_one_at_its_address_is_counted_while_there_is_none(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    fill(bench)?;
    for backend in 1..4 {
        for _ in 0..2 {
            bench.first_packet(FULL, Conn::udp(1).dnat(backend))?;
        }
    }
    bench.lost(&[(Loss::TableFull, 3)])
}

fn every_hook_counts_a_connection_without_room_once(bench: &mut Bench) -> anyhow::Result<()> {
    fill(bench)?;
    bench.place(FULL, Conn::udp(1));
    let skb = bench.packet_of(bench.address(FULL) | NEW);
    bench.object.call("run_after_confirm", [skb, NF_ACCEPT])?;
    bench.object.call("on_net_dev_queue", [skb, 0])?;
    bench
        .object
        .call("run_after_insert", [bench.address(FULL), 0])?;
    bench.records([])?;
    bench.lost(&[(Loss::TableFull, 1)])
}

fn a_connection_without_room_has_no_end(bench: &mut Bench) -> anyhow::Result<()> {
    fill(bench)?;
    bench.first_packet(FULL, Conn::udp(1))?;
    bench.destroyed(FULL)?;
    bench.records([])?;
    bench.lost(&[(Loss::TableFull, 1)])
}

fn a_successor_needs_no_room(bench: &mut Bench) -> anyhow::Result<()> {
    fill(bench)?;
    for slot in 0..FULL {
        bench.first_packet(slot, Conn::udp(1000 + slot as u16).dnat(1))?;
        bench.records([kind::DESTROY, kind::NEW])?;
    }
    bench.entries_are(FULL)
}

fn each_family_has_its_own_room(bench: &mut Bench) -> anyhow::Result<()> {
    fill(bench)?;
    for slot in FULL..2 * FULL {
        bench.first_packet(slot, Conn::udp6(slot as u16))?;
    }
    bench.records([kind::NEW; FULL])?;
    for _ in 0..2 {
        bench.first_packet(2 * FULL, Conn::udp6(1))?;
    }
    bench.lost(&[(Loss::TableFull, 1)])?;
    bench.entries_are(2 * FULL)
}

fn with_a_full_ring_buffer_too_it_is_counted_once(bench: &mut Bench) -> anyhow::Result<()> {
    fill(bench)?;
    bench.fill_ring()?;
    for _ in 0..2 {
        bench.first_packet(FULL, Conn::udp(1))?;
    }
    bench.records([])?;
    bench.lost(&[(Loss::TableFull, 1)])
}

fn a_refusal_for_another_reason_is_counted_as_such(bench: &mut Bench) -> anyhow::Result<()> {
    for (slot, errno) in [EBUSY, E2BIG, EBUSY].into_iter().enumerate() {
        bench.place(slot, Conn::udp(slot as u16));
        bench
            .object
            .call("run_count_refused", [bench.address(slot), errno])?;
        // It, too, is not reported later.
        bench.packet(NEW, slot)?;
    }
    bench.records([])?;
    bench.lost(&[(Loss::TableFull, 1), (Loss::TableRefused, 2)])
}
