//! The sweep, and the check of one entry, compare the table with memory.

use shared::record::status;
use shared::record::wire::kind;
use shared::record::wire::known;

use crate::bench::Bench;
use crate::bench::UNMAPPED;
use crate::bench::same;
use crate::bpf::CHECKED_ALIVE;
use crate::bpf::CHECKED_ENDED;
use crate::bpf::CHECKED_NONE;
use crate::bpf::CHECKED_UNKNOWN;
use crate::bpf::Swept;
use crate::case::cases;
use crate::fake::Conn;
use crate::fake::Net;

cases! {
    a_live_entry_is_brought_up_to_date
    a_dying_one_has_ended_with_its_last_state
    memory_that_serves_another_connection_ended_it
    memory_that_cannot_be_read_ended_it_and_is_no_fault
    an_expired_connection_lives_until_the_kernel_removes_it
    an_entry_from_a_dump_is_left_alone
    an_entry_that_is_in_no_dump_any_more_has_ended
    an_entry_whose_place_another_has_in_a_dump_has_ended
    an_entry_that_another_program_ends_is_left_to_it
    both_families_are_swept_and_counted
    an_idle_table_is_not_walked
    one_entry_is_checked
}

fn swept(bench: &mut Bench, kept: [u32; 2], ended: u32) -> anyhow::Result<()> {
    let found = bench.sweep()?;
    same(
        "sweep",
        found,
        Swept {
            kept,
            ended,
            stuck: false,
        },
    )
}

fn a_live_entry_is_brought_up_to_date(bench: &mut Bench) -> anyhow::Result<()> {
    let conn = bench.first_packet(0, Conn::udp(1))?;
    bench.records([kind::NEW])?;
    let before = bench.entry()?.expires_jiffies();
    let expires_in = conn.expires_in + 50;
    let now = bench.place(
        0,
        Conn {
            mark: 9,
            expires_in,
            ..conn.with(status::SEEN_REPLY)
        },
    );
    swept(bench, [1, 0], 0)?;
    bench.records([])?;
    let entry = bench.entry()?;
    same("status", entry.status(), now.status)?;
    same("mark", entry.mark(), 9)?;
    same("expiry", entry.expires_jiffies().wrapping_sub(before), 50)
}

fn a_dying_one_has_ended_with_its_last_state(bench: &mut Bench) -> anyhow::Result<()> {
    for conn in [Conn::udp(1), Conn::udp6(1)] {
        bench.first_packet(0, conn)?;
        let [new] = bench.records([kind::NEW])?;
        let last = bench.place(
            0,
            Conn {
                mark: 9,
                ..conn.with(status::ASSURED | status::DYING)
            },
        );
        swept(bench, [0, 0], 1)?;
        let [gone] = bench.records([kind::DESTROY])?;
        same("id", gone.ct_id, new.ct_id)?;
        same(
            "status and mark",
            (gone.status, gone.mark),
            (last.status, 9),
        )?;
        same("known", gone.known, new.known)?;
        bench.entries_are(0)?;
    }
    Ok(())
}

fn memory_that_serves_another_connection_ended_it(bench: &mut Bench) -> anyhow::Result<()> {
    let conn = Conn::udp(1).with(status::SEEN_REPLY);
    for other in [
        Conn::udp(2),
        Conn::udp6(1),
        conn.dnat(1),
        Conn { zone: 8, ..conn },
        Conn {
            net: Net::Second,
            ..conn
        },
        // Of the same tuples: it has lost the reply.
        Conn::udp(1),
        Conn { status: 0, ..conn },
        Conn { l3num: 1, ..conn },
        Conn::udp(2).with(status::DYING),
    ] {
        bench.first_packet(0, conn)?;
        let [new] = bench.records([kind::NEW])?;
        bench.place(0, other);
        swept(bench, [0, 0], 1)?;
        let [gone] = bench.records([kind::DESTROY])?;
        same("id", gone.ct_id, new.ct_id)?;
        same(
            "known",
            gone.known,
            new.known & !(known::STATUS | known::MARK),
        )?;
        same("status and mark", (gone.status, gone.mark), (0, 0))?;
        bench.entries_are(0)?;
    }
    Ok(())
}

fn memory_that_cannot_be_read_ended_it_and_is_no_fault(bench: &mut Bench) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1))?;
    bench.records([kind::NEW])?;
    let mut entry = bench.entry()?;
    entry.move_to(UNMAPPED);
    bench.object.put(&entry)?;
    swept(bench, [0, 0], 1)?;
    let [gone] = bench.records([kind::DESTROY])?;
    same("known", gone.known & known::STATUS, 0)
}

fn an_expired_connection_lives_until_the_kernel_removes_it(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    bench.first_packet(
        0,
        Conn {
            expires_in: -1000,
            ..Conn::udp(1)
        },
    )?;
    swept(bench, [1, 0], 0)?;
    bench.records([kind::NEW])?;
    Ok(())
}

fn an_entry_from_a_dump_is_left_alone(bench: &mut Bench) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1))?;
    bench.records([kind::NEW])?;
    bench.object.put(&bench.entry()?.without_nf_conn())?;
    bench.place(0, Conn::udp(2));
    swept(bench, [0, 0], 0)?;
    bench.records([])?;
    bench.entries_are(1)
}

fn an_entry_that_is_in_no_dump_any_more_has_ended(bench: &mut Bench) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1))?;
    let [new] = bench.records([kind::NEW])?;
    let known = bench.entry()?;
    // Its nf_conn says more than a dump.
    let found = bench.object.end_gone(&known, new.ct_id, false)?;
    same("known", found, CHECKED_ALIVE)?;
    bench.object.put(&known.clone().without_nf_conn())?;
    let found = bench.object.end_gone(&known, new.ct_id + 1, false)?;
    same("another's id", found, CHECKED_NONE)?;
    bench.records([])?;
    let found = bench.object.end_gone(&known, new.ct_id, false)?;
    same("gone", found, CHECKED_ENDED)?;
    let [end] = bench.records([kind::DESTROY])?;
    same("id", end.ct_id, new.ct_id)?;
    same("status", end.known & known::STATUS, 0)?;
    bench.entries_are(0)
}

fn an_entry_whose_place_another_has_in_a_dump_has_ended(bench: &mut Bench) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1))?;
    let [new] = bench.records([kind::NEW])?;
    let adopted = bench.entry()?;
    let found = bench.object.end_gone(&adopted, new.ct_id, true)?;
    same("replaced", found, CHECKED_ENDED)?;
    bench.records([kind::DESTROY])?;
    bench.entries_are(0)
}

fn an_entry_that_another_program_ends_is_left_to_it(bench: &mut Bench) -> anyhow::Result<()> {
    let conn = bench.first_packet(0, Conn::udp(1))?;
    let [new] = bench.records([kind::NEW])?;
    bench.place(0, conn.with(status::DYING));
    bench.object.claim(new.ct_id)?;
    swept(bench, [1, 0], 0)?;
    bench.records([])?;
    bench.entries_are(1)?;
    bench.object.release(new.ct_id)?;
    swept(bench, [0, 0], 1)?;
    bench.records([kind::DESTROY])?;
    Ok(())
}

fn both_families_are_swept_and_counted(bench: &mut Bench) -> anyhow::Result<()> {
    for slot in 0..6 {
        let conn = if slot < 4 {
            Conn::udp(slot)
        } else {
            Conn::udp6(slot)
        };
        bench.first_packet(slot.into(), conn)?;
    }
    bench.records([kind::NEW; 6])?;
    swept(bench, [4, 2], 0)?;
    bench.place(1, Conn::udp(1).with(status::DYING));
    bench.place(5, Conn::udp6(5).with(status::DYING));
    swept(bench, [3, 1], 2)?;
    bench.records([kind::DESTROY; 2])?;
    bench.entries_are(4)
}

fn an_idle_table_is_not_walked(bench: &mut Bench) -> anyhow::Result<()> {
    if !bench.object.can_walk {
        return Ok(());
    }
    let conn = bench.first_packet(0, Conn::udp(1))?;
    bench.records([kind::NEW])?;
    let entry = bench.entry()?;
    bench.place(0, conn.with(status::DYING));
    swept(bench, [0, 0], 1)?;
    bench.records([kind::DESTROY])?;
    // Nothing says that the table has got an entry.
    bench.object.put(&entry)?;
    swept(bench, [0, 0], 0)?;
    bench.records([])?;
    // A table that had one is walked again.
    bench.first_packet(1, Conn::udp(2))?;
    bench.records([kind::NEW])?;
    swept(bench, [1, 0], 1)?;
    bench.records([kind::DESTROY])?;
    for _ in 0..2 {
        swept(bench, [1, 0], 0)?;
    }
    Ok(())
}

fn one_entry_is_checked(bench: &mut Bench) -> anyhow::Result<()> {
    for conn in [Conn::udp(1), Conn::udp6(1)] {
        bench.first_packet(0, conn)?;
        bench.records([kind::NEW])?;
        let entry = bench.entry()?;
        let now = bench.place(
            0,
            Conn {
                mark: 9,
                ..conn.with(status::SEEN_REPLY)
            },
        );
        same("alive", bench.object.check(&entry)?, CHECKED_ALIVE)?;
        let fresh = bench.entry()?;
        same(
            "status and mark",
            (fresh.status(), fresh.mark()),
            (now.status, 9),
        )?;
        bench.object.put(&fresh.clone().without_nf_conn())?;
        same("from a dump", bench.object.check(&entry)?, CHECKED_UNKNOWN)?;
        bench.object.put(&fresh)?;
        bench.place(0, now.with(status::DYING));
        same("dying", bench.object.check(&entry)?, CHECKED_ENDED)?;
        let [gone] = bench.records([kind::DESTROY])?;
        same("status", gone.status, now.status | status::DYING)?;
        same("none", bench.object.check(&entry)?, CHECKED_NONE)?;
    }
    Ok(())
}
