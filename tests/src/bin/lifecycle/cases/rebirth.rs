//! A connection takes the tuple of one that has ended, whose end was not seen.

use anyhow::ensure;
use shared::record::status;
use shared::record::wire::Loss;
use shared::record::wire::Record;
use shared::record::wire::kind;
use shared::record::wire::known;

use crate::bench::Bench;
use crate::bench::NEW;
use crate::bench::UNMAPPED;
use crate::bench::same;
use crate::case::cases;
use crate::fake::Conn;
use crate::fake::v4;

cases! {
    another_reply_tuple_is_another_connection
    a_connection_that_lost_a_status_bit_is_another
    a_first_packet_after_the_expiry_is_of_another_connection
    a_first_packet_before_the_expiry_is_of_the_same_connection
    each_packet_moves_the_expiry_that_counts
    at_another_address_the_old_one_tells_its_end
    at_another_address_memory_that_serves_another_tells_nothing
    at_another_address_memory_that_is_gone_tells_nothing
    a_successor_that_is_dying_itself_tells_nothing_of_the_old_one
    a_late_packet_of_a_dying_connection_does_not_end_its_successor
    a_dying_connection_at_its_own_address_is_itself
    a_connection_from_a_dump_is_adopted
    a_connection_from_a_dump_with_other_translations_has_ended
    while_another_program_ends_the_old_one_the_new_one_is_counted
    a_rebirth_is_seen_by_every_hook
}

/// The old connection was reported first; then come its end and the new one's beginning.
fn is_reborn(bench: &mut Bench, has_ending: bool) -> anyhow::Result<[Record; 3]> {
    let records = bench.records([kind::NEW, kind::DESTROY, kind::NEW])?;
    let [first, gone, second] = records;
    same("id of the end", gone.ct_id, first.ct_id)?;
    ensure!(second.ct_id != first.ct_id, "one id for two connections");
    same("tuple", gone.reply_src, first.reply_src)?;
    let of_the_end = known::STATUS | known::MARK;
    if has_ending {
        same("known", gone.known & of_the_end, of_the_end)?;
    } else {
        same("known", gone.known & of_the_end, 0)?;
        same("status and mark", (gone.status, gone.mark), (0, 0))?;
    }
    same(
        "other known",
        gone.known & !of_the_end,
        first.known & !of_the_end,
    )?;
    Ok(records)
}

/// At one address, then the table has the second.
fn is_reborn_as(bench: &mut Bench, first: Conn, second: Conn) -> anyhow::Result<()> {
    bench.first_packet(0, first)?;
    bench.first_packet(0, second)?;
    let [_, _, new] = is_reborn(bench, false)?;
    same("status", new.status, second.status)?;
    same("mark", new.mark, second.mark)?;
    let entry = bench.entry()?;
    same("id in the table", entry.ct_id(), new.ct_id)?;
    same("flags", entry.flags(), 0)?;
    bench.destroyed(0)?;
    let [gone] = bench.records([kind::DESTROY])?;
    same("id of the second end", gone.ct_id, new.ct_id)?;
    bench.entries_are(0)
}

fn another_reply_tuple_is_another_connection(bench: &mut Bench) -> anyhow::Result<()> {
    for conn in [Conn::udp(1), Conn::udp6(1)] {
        is_reborn_as(bench, conn.dnat(1), conn.dnat(2))?;
        is_reborn_as(bench, conn, conn.dnat(2))?;
        is_reborn_as(bench, conn.dnat(1), conn)?;
        // Each part of the tuple counts.
        let mut other = conn;
        other.reply.sport += 1;
        is_reborn_as(bench, conn, other)?;
        other = conn;
        other.reply.dport += 1;
        is_reborn_as(bench, conn, other)?;
        other = conn;
        other.reply.dst[3] ^= 1;
        is_reborn_as(bench, conn, other)?;
    }
    Ok(())
}

fn a_connection_that_lost_a_status_bit_is_another(bench: &mut Bench) -> anyhow::Result<()> {
    for bit in [status::SEEN_REPLY, status::ASSURED] {
        for conn in [Conn::udp(1), Conn::udp6(1)] {
            let fresh = Conn { mark: 9, ..conn };
            is_reborn_as(bench, conn.with(bit), fresh)?;
        }
    }
    // Others may come and go.
    bench.first_packet(0, Conn::udp(1).with(status::HELPER | status::OFFLOAD))?;
    bench.first_packet(0, Conn::udp(1))?;
    bench.records([kind::NEW])?;
    Ok(())
}

fn a_first_packet_after_the_expiry_is_of_another_connection(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    for expires_in in [-2, -3, -1_000_000] {
        let expired = Conn {
            expires_in,
            ..Conn::udp(1)
        };
        is_reborn_as(
            bench,
            expired,
            Conn {
                mark: 9,
                ..Conn::udp(1)
            },
        )?;
    }
    Ok(())
}

fn a_first_packet_before_the_expiry_is_of_the_same_connection(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    // The shortest is much longer than this case takes.
    for (slot, expires_in) in [100_000, 1_000_000_000].into_iter().enumerate() {
        let live = Conn {
            expires_in,
            ..Conn::udp(slot as u16)
        };
        for _ in 0..3 {
            bench.first_packet(slot, live)?;
        }
        bench.records([kind::NEW])?;
    }
    Ok(())
}

fn each_packet_moves_the_expiry_that_counts(bench: &mut Bench) -> anyhow::Result<()> {
    let conn = bench.first_packet(0, Conn::udp(1))?;
    let expired = Conn {
        expires_in: -5,
        ..conn
    };
    // The kernel prolongs it only after the packet has passed here.
    bench.first_packet(0, expired)?;
    bench.records([kind::NEW])?;
    bench.first_packet(0, conn)?;
    bench.records([kind::DESTROY, kind::NEW])?;
    Ok(())
}

fn at_another_address_the_old_one_tells_its_end(bench: &mut Bench) -> anyhow::Result<()> {
    for (base, conn) in [Conn::udp(1), Conn::udp6(1)].into_iter().enumerate() {
        let (old, new) = (2 * base, 2 * base + 1);
        bench.first_packet(old, conn)?;
        let bits = status::SEEN_REPLY | status::DYING;
        let last = bench.place(
            old,
            Conn {
                mark: 77,
                ..conn.with(bits)
            },
        );
        bench.first_packet(new, conn.dnat(2))?;
        let [_, gone, _] = is_reborn(bench, true)?;
        same("status at the end", gone.status, last.status)?;
        same("mark at the end", gone.mark, 77)?;
        bench.entries_are(1 + base)?;
        // Its own end comes late and is no second one.
        bench.destroyed(old)?;
        bench.records([])?;
    }
    Ok(())
}

fn at_another_address_memory_that_serves_another_tells_nothing(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    let conn = Conn::udp(1);
    let dying = conn.with(status::DYING);
    let mut others = vec![
        // Not dying: it cannot be the one that ended.
        conn,
        // Another connection, which is dying, too.
        dying.dnat(3),
        Conn { proto: 6, ..dying },
    ];
    for change in [
        |other: &mut Conn| other.orig.sport += 1,
        |other: &mut Conn| other.orig.dport += 1,
        |other: &mut Conn| other.orig.src = v4(10, 0, 0, 2),
        |other: &mut Conn| other.orig.dst = v4(10, 9, 9, 8),
        |other: &mut Conn| other.reply.src = v4(10, 9, 9, 8),
        |other: &mut Conn| other.reply.dst = v4(10, 9, 9, 8),
        |other: &mut Conn| other.reply.sport += 1,
        |other: &mut Conn| other.reply.dport += 1,
    ] {
        let mut other = dying;
        change(&mut other);
        others.push(other);
    }
    for other in others {
        bench.first_packet(0, conn)?;
        bench.place(0, other);
        bench.first_packet(1, Conn { mark: 9, ..conn })?;
        is_reborn(bench, false)?;
        bench.destroyed(1)?;
        bench.records([kind::DESTROY])?;
    }
    Ok(())
}

fn at_another_address_memory_that_is_gone_tells_nothing(bench: &mut Bench) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1))?;
    let mut entry = bench.entry()?;
    entry.move_to(UNMAPPED);
    bench.object.put(&entry)?;
    bench.first_packet(1, Conn::udp(1))?;
    is_reborn(bench, false)?;
    Ok(())
}

fn a_successor_that_is_dying_itself_tells_nothing_of_the_old_one(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    let conn = Conn::udp(1);
    is_reborn_as(
        bench,
        conn.with(status::SEEN_REPLY),
        conn.with(status::DYING),
    )
}

fn a_late_packet_of_a_dying_connection_does_not_end_its_successor(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    let old = bench.first_packet(0, Conn::udp(1))?;
    bench.place(0, old.with(status::DYING));
    bench.first_packet(1, Conn { mark: 9, ..old })?;
    let [_, _, new] = is_reborn(bench, true)?;
    for _ in 0..2 {
        bench.packet(NEW, 0)?;
        bench.packet(NEW, 1)?;
    }
    bench.records([])?;
    same("id", bench.entry()?.ct_id(), new.ct_id)?;
    same("mark", bench.entry()?.mark(), 9)
}

fn a_dying_connection_at_its_own_address_is_itself(bench: &mut Bench) -> anyhow::Result<()> {
    let conn = bench.first_packet(0, Conn::udp(1))?;
    bench.first_packet(0, conn.with(status::DYING))?;
    let [new] = bench.records([kind::NEW])?;
    bench.destroyed(0)?;
    let [gone] = bench.records([kind::DESTROY])?;
    same("id", gone.ct_id, new.ct_id)?;
    same("status", gone.status, conn.status | status::DYING)
}

fn a_connection_from_a_dump_is_adopted(bench: &mut Bench) -> anyhow::Result<()> {
    for conn in [Conn::udp(1), Conn::udp6(1)] {
        bench.first_packet(0, conn)?;
        bench.records([kind::NEW])?;
        let known = bench.entry()?;
        bench.object.put(&known.clone().without_nf_conn())?;
        // Its address may be another one now: nobody knew it.
        bench.first_packet(1, Conn { mark: 3, ..conn })?;
        bench.records([])?;
        let entry = bench.entry_of(1)?;
        same("id", entry.ct_id(), known.ct_id())?;
        same("mark", entry.mark(), 3)?;
        bench.destroyed(1)?;
        let [gone] = bench.records([kind::DESTROY])?;
        same("id of the end", gone.ct_id, known.ct_id())?;
    }
    Ok(())
}

fn a_connection_from_a_dump_with_other_translations_has_ended(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1).dnat(1))?;
    bench.object.put(&bench.entry()?.without_nf_conn())?;
    bench.first_packet(0, Conn::udp(1).dnat(2))?;
    is_reborn(bench, false)?;
    Ok(())
}

fn while_another_program_ends_the_old_one_the_new_one_is_counted(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1).dnat(1))?;
    let [old] = bench.records([kind::NEW])?;
    bench.object.claim(old.ct_id)?;
    bench.first_packet(0, Conn::udp(1).dnat(2))?;
    bench.records([])?;
    bench.lost(&[(Loss::TupleBusy, 1)])?;
    same("id", bench.entry()?.ct_id(), old.ct_id)?;
    bench.object.release(old.ct_id)?;
    bench.packet(NEW, 0)?;
    bench.records([kind::DESTROY, kind::NEW])?;
    bench.lost(&[(Loss::TupleBusy, 1)])
}

fn a_rebirth_is_seen_by_every_hook(bench: &mut Bench) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1).dnat(1))?;
    bench.place(0, Conn::udp(1).dnat(2));
    let skb = bench.packet_of(bench.address(0) | NEW);
    bench.object.call("run_after_confirm", [skb, 1])?;
    is_reborn(bench, false)?;
    bench.place(0, Conn::udp(1).dnat(3));
    bench
        .object
        .call("run_after_insert", [bench.address(0), 0])?;
    bench.records([kind::DESTROY, kind::NEW])?;
    Ok(())
}
