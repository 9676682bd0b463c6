//! The ring buffer is full.

use anyhow::ensure;
use shared::record::status;
use shared::record::wire::Loss;
use shared::record::wire::kind;
use shared::record::wire::known;

use crate::bench::Bench;
use crate::bench::NEW;
use crate::bench::same;
use crate::bpf::CHECKED_ALIVE;
use crate::bpf::CHECKED_STUCK;
use crate::bpf::ENDED;
use crate::bpf::UNANNOUNCED;
use crate::case::cases;
use crate::fake::Conn;

cases! {
    a_beginning_waits_for_a_sweep
    a_beginning_waits_for_a_check_of_its_entry
    a_repeated_packet_leaves_it_to_the_sweep
    an_end_while_unannounced_makes_two_records
    an_end_waits_with_its_status_and_mark
    with_room_for_one_the_beginning_comes_and_the_end_waits
    a_sweep_keeps_the_last_state_of_a_dying_one
    an_end_of_which_nothing_is_known_is_kept
    room_that_is_given_back_wakes_the_pump_before_the_ring_is_full
    a_successor_costs_its_predecessor_one_record_or_two
    a_connection_that_ended_in_vain_is_not_its_successor
    an_unannounced_one_that_another_program_ends_is_left_to_it
}

/// An entry whose beginning found no room.
fn unannounced(bench: &mut Bench, slot: usize, conn: Conn) -> anyhow::Result<()> {
    bench.fill_ring()?;
    bench.first_packet(slot, conn)?;
    same("flags", bench.entry_of(slot)?.flags(), UNANNOUNCED)
}

fn a_beginning_waits_for_a_sweep(bench: &mut Bench) -> anyhow::Result<()> {
    for (slot, conn) in [Conn::udp(1), Conn::udp6(1)].into_iter().enumerate() {
        unannounced(bench, slot, conn)?;
        same("stuck", bench.sweep()?.stuck, true)?;
        bench.records([])?;
        let entry = bench.entry_of(slot)?;
        same("flags", entry.flags(), UNANNOUNCED)?;
        same("stuck", bench.sweep()?.stuck, false)?;
        let [new] = bench.records([kind::NEW])?;
        same("id", new.ct_id, entry.ct_id())?;
        same("flags", bench.entry_of(slot)?.flags(), 0)?;
        bench.sweep()?;
        bench.records([])?;
    }
    Ok(())
}

fn a_beginning_waits_for_a_check_of_its_entry(bench: &mut Bench) -> anyhow::Result<()> {
    unannounced(bench, 0, Conn::udp(1))?;
    let entry = bench.entry()?;
    same("full", bench.object.check(&entry)?, CHECKED_STUCK)?;
    bench.records([])?;
    same("room", bench.object.check(&entry)?, CHECKED_ALIVE)?;
    let [new] = bench.records([kind::NEW])?;
    same("id", new.ct_id, entry.ct_id())
}

fn a_repeated_packet_leaves_it_to_the_sweep(bench: &mut Bench) -> anyhow::Result<()> {
    unannounced(bench, 0, Conn::udp(1))?;
    bench.records([])?;
    bench.packet(NEW, 0)?;
    bench.records([])?;
    same("flags", bench.entry()?.flags(), UNANNOUNCED)?;
    bench.sweep()?;
    bench.records([kind::NEW])?;
    Ok(())
}

fn an_end_while_unannounced_makes_two_records(bench: &mut Bench) -> anyhow::Result<()> {
    for conn in [Conn::udp(1), Conn::udp6(1)] {
        unannounced(bench, 0, conn)?;
        let entry = bench.entry()?;
        bench.records([])?;
        bench.place(0, conn.with(status::DYING));
        bench.destroyed(0)?;
        let [new, gone] = bench.records([kind::NEW, kind::DESTROY])?;
        same("ids", [new.ct_id, gone.ct_id], [entry.ct_id(); 2])?;
        same(
            "status",
            [new.status, gone.status],
            [conn.status, conn.status | status::DYING],
        )?;
        bench.entries_are(0)?;
    }
    Ok(())
}

fn an_end_waits_with_its_status_and_mark(bench: &mut Bench) -> anyhow::Result<()> {
    for conn in [Conn::udp(1), Conn::udp6(1)] {
        bench.first_packet(0, conn)?;
        let [new] = bench.records([kind::NEW])?;
        bench.fill_ring()?;
        let last = bench.place(
            0,
            Conn {
                mark: 77,
                ..conn.with(status::DYING)
            },
        );
        bench.destroyed(0)?;
        same("flags", bench.entry()?.flags(), ENDED)?;
        // Its memory serves another one, which is even alike.
        bench.place(0, conn);
        same("stuck", bench.sweep()?.stuck, true)?;
        bench.records([])?;
        same("ended", bench.sweep()?.ended, 1)?;
        let [gone] = bench.records([kind::DESTROY])?;
        same("id", gone.ct_id, new.ct_id)?;
        same(
            "status and mark",
            (gone.status, gone.mark),
            (last.status, 77),
        )?;
        same("known", gone.known, new.known)?;
        bench.entries_are(0)?;
    }
    Ok(())
}

fn with_room_for_one_the_beginning_comes_and_the_end_waits(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    unannounced(bench, 0, Conn::udp(1))?;
    bench.make_room(1)?;
    bench.destroyed(0)?;
    bench.records([kind::NEW])?;
    same("flags", bench.entry()?.flags(), ENDED)?;
    same("ended", bench.sweep()?.ended, 1)?;
    bench.records([kind::DESTROY])?;
    bench.entries_are(0)
}

fn a_sweep_keeps_the_last_state_of_a_dying_one(bench: &mut Bench) -> anyhow::Result<()> {
    let conn = bench.first_packet(0, Conn::udp(1))?;
    bench.records([kind::NEW])?;
    let last = bench.place(
        0,
        Conn {
            mark: 77,
            ..conn.with(status::DYING)
        },
    );
    bench.fill_ring()?;
    same("stuck", bench.sweep()?.stuck, true)?;
    same("flags", bench.entry()?.flags(), ENDED)?;
    bench.place(0, Conn::udp(2));
    bench.records([])?;
    same("ended", bench.sweep()?.ended, 1)?;
    let [gone] = bench.records([kind::DESTROY])?;
    same(
        "status and mark",
        (gone.status, gone.mark),
        (last.status, 77),
    )?;
    same("known", gone.known & known::STATUS, known::STATUS)
}

fn an_end_of_which_nothing_is_known_is_kept(bench: &mut Bench) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1))?;
    bench.records([kind::NEW])?;
    bench.place(0, Conn::udp(2));
    bench.fill_ring()?;
    same("stuck", bench.sweep()?.stuck, true)?;
    same("flags", bench.entry()?.flags(), ENDED)?;
    bench.records([])?;
    // Memory that looks like it again does not revive it.
    bench.place(0, Conn::udp(1));
    same("ended", bench.sweep()?.ended, 1)?;
    let [gone] = bench.records([kind::DESTROY])?;
    same("known", gone.known & (known::STATUS | known::MARK), 0)
}

/// Room that was taken in vain is free only when the pump has read over it, and the pump may sleep.
fn room_that_is_given_back_wakes_the_pump_before_the_ring_is_full(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1))?;
    bench.records([kind::NEW])?;
    bench.object.data().pump_sleeps = 1;
    let mut packets = 0;
    while bench.object.data().pump_sleeps == 1 && packets < bench.setup.ring_bytes {
        bench.object.data().recent.fill(0);
        bench.packet(NEW, 0)?;
        packets += 1;
    }
    // A wake-up costs more than all else, so the first packet must not bring it.
    ensure!(packets > 1, "woken by every packet");
    bench.first_packet(1, Conn::udp(2))?;
    same("flags", bench.entry_of(1)?.flags(), 0)?;
    bench.records([kind::NEW])?;
    Ok(())
}

fn a_successor_costs_its_predecessor_one_record_or_two(bench: &mut Bench) -> anyhow::Result<()> {
    // Announced.
    bench.first_packet(0, Conn::udp(1).dnat(1))?;
    let [first] = bench.records([kind::NEW])?;
    bench.fill_ring()?;
    bench.first_packet(0, Conn::udp(1).dnat(2))?;
    bench.lost(&[(Loss::RingbufFull, 1)])?;
    same("flags", bench.entry()?.flags(), UNANNOUNCED)?;
    // Not announced.
    bench.first_packet(0, Conn::udp(1).dnat(3))?;
    bench.lost(&[(Loss::RingbufFull, 3)])?;
    // With room for one, the second one's beginning comes after all, and its end is lost.
    bench.make_room(1)?;
    bench.first_packet(0, Conn::udp(1).dnat(4))?;
    bench.lost(&[(Loss::RingbufFull, 4)])?;
    let [third] = bench.records([kind::NEW])?;
    bench.sweep()?;
    let [last] = bench.records([kind::NEW])?;
    same(
        "different",
        first.ct_id != third.ct_id && third.ct_id != last.ct_id,
        true,
    )
}

fn a_connection_that_ended_in_vain_is_not_its_successor(bench: &mut Bench) -> anyhow::Result<()> {
    let conn = bench.first_packet(0, Conn::udp(1))?;
    let [first] = bench.records([kind::NEW])?;
    bench.fill_ring()?;
    let last = bench.place(0, conn.with(status::DYING));
    bench.destroyed(0)?;
    bench.records([])?;
    // All is as it was, but that the entry has ended.
    bench.first_packet(0, conn)?;
    let [gone, new] = bench.records([kind::DESTROY, kind::NEW])?;
    same("id", gone.ct_id, first.ct_id)?;
    same("status", gone.status, last.status)?;
    same("another", new.ct_id != first.ct_id, true)
}

fn an_unannounced_one_that_another_program_ends_is_left_to_it(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    unannounced(bench, 0, Conn::udp(1))?;
    bench.records([])?;
    let entry = bench.entry()?;
    bench.object.claim(entry.ct_id())?;
    bench.sweep()?;
    bench.records([])?;
    same("flags", bench.entry()?.flags(), UNANNOUNCED)?;
    bench.object.release(entry.ct_id())?;
    bench.sweep()?;
    bench.records([kind::NEW])?;
    Ok(())
}
