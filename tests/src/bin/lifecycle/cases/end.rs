//! A hook sees a connection end.

use anyhow::ensure;
use shared::record::status;
use shared::record::wire::kind;
use shared::record::wire::known;

use crate::bench::Bench;
use crate::bench::monotonic_ns;
use crate::bench::same;
use crate::case::cases;
use crate::fake::Conn;
use crate::fake::Net;
use crate::fake::v4;

cases! {
    an_end_has_the_last_status_and_mark_and_comes_once
    fentry_sees_ends_too
    the_end_of_what_was_never_confirmed_is_nothing
    the_end_of_an_unknown_connection_is_nothing
    the_end_of_another_connection_of_the_tuple_is_not_the_entrys
    the_end_of_a_connection_with_other_translations_is_not_the_entrys
    an_end_that_another_program_has_claimed_is_left_to_it
    an_entry_from_a_dump_is_not_ended_by_a_hook
    a_claim_on_a_connection_whose_entry_has_a_successor_gets_nothing
}

fn an_end_has_the_last_status_and_mark_and_comes_once(bench: &mut Bench) -> anyhow::Result<()> {
    for conn in [Conn::udp(1), Conn::udp6(1)] {
        bench.first_packet(0, conn)?;
        let [new] = bench.records([kind::NEW])?;
        let last = bench.place(
            0,
            Conn {
                mark: 77,
                ..conn.with(status::SEEN_REPLY | status::DYING)
            },
        );
        let before = monotonic_ns()?;
        bench.destroyed(0)?;
        let [gone] = bench.records([kind::DESTROY])?;
        ensure!(gone.ts_mono_ns >= before, "an end in the past");
        same("id", gone.ct_id, new.ct_id)?;
        same("status", gone.status, last.status)?;
        same("mark", gone.mark, 77)?;
        same("known", gone.known, new.known)?;
        same(
            "tuple",
            (gone.orig_src, gone.orig_sport),
            (new.orig_src, new.orig_sport),
        )?;
        same(
            "zone",
            (gone.zone, gone.netns_ino),
            (new.zone, new.netns_ino),
        )?;
        bench.entries_are(0)?;
        bench.destroyed(0)?;
        bench.records([])?;
    }
    Ok(())
}

fn fentry_sees_ends_too(bench: &mut Bench) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1))?;
    bench
        .object
        .call("run_before_destroy", [bench.address(0), 0])?;
    let [_, gone] = bench.records([kind::NEW, kind::DESTROY])?;
    ensure!(gone.known & known::STATUS != 0, "no status");
    bench.entries_are(0)
}

fn the_end_of_what_was_never_confirmed_is_nothing(bench: &mut Bench) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1))?;
    bench.records([kind::NEW])?;
    // A refused packet's, with the same tuple, and even at the same address.
    for slot in [0, 1] {
        bench.place(
            slot,
            Conn {
                status: status::DYING,
                ..Conn::udp(1)
            },
        );
        bench.destroyed(slot)?;
    }
    bench.records([])?;
    bench.entries_are(1)
}

fn the_end_of_an_unknown_connection_is_nothing(bench: &mut Bench) -> anyhow::Result<()> {
    for (slot, conn) in [Conn::udp(1), Conn::udp6(1)].into_iter().enumerate() {
        bench.place(slot, conn);
        bench.destroyed(slot)?;
    }
    bench.records([])?;
    Ok(())
}

fn the_end_of_another_connection_of_the_tuple_is_not_the_entrys(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    let conn = bench.first_packet(0, Conn::udp(1))?;
    bench.records([kind::NEW])?;
    for other in [
        conn,
        Conn { zone: 8, ..conn },
        Conn {
            net: Net::Second,
            ..conn
        },
        conn.with(status::NAT_CLASH),
    ] {
        bench.place(1, other);
        bench.destroyed(1)?;
    }
    bench.records([])?;
    bench.entries_are(1)
}

fn the_end_of_a_connection_with_other_translations_is_not_the_entrys(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    let conn = bench.first_packet(0, Conn::udp(1))?;
    bench.records([kind::NEW])?;
    bench.place(0, conn.dnat(2));
    bench.destroyed(0)?;
    for change in [
        |other: &mut Conn| other.reply.dport += 1,
        |other: &mut Conn| other.reply.sport += 1,
        |other: &mut Conn| other.reply.dst = v4(192, 0, 2, 1),
    ] {
        let mut other = conn;
        change(&mut other);
        bench.place(0, other);
        bench.destroyed(0)?;
    }
    bench.records([])?;
    bench.entries_are(1)
}

fn an_end_that_another_program_has_claimed_is_left_to_it(bench: &mut Bench) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1))?;
    let [new] = bench.records([kind::NEW])?;
    bench.object.claim(new.ct_id)?;
    bench.destroyed(0)?;
    bench.records([])?;
    bench.entries_are(1)?;
    bench.object.release(new.ct_id)?;
    bench.destroyed(0)?;
    bench.records([kind::DESTROY])?;
    bench.entries_are(0)
}

fn an_entry_from_a_dump_is_not_ended_by_a_hook(bench: &mut Bench) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1))?;
    bench.records([kind::NEW])?;
    bench.object.put(&bench.entry()?.without_nf_conn())?;
    bench.destroyed(0)?;
    bench.records([])?;
    bench.entries_are(1)
}

fn a_claim_on_a_connection_whose_entry_has_a_successor_gets_nothing(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1).dnat(1))?;
    bench.first_packet(0, Conn::udp(1).dnat(2))?;
    let [old, _, new] = bench.records([kind::NEW, kind::DESTROY, kind::NEW])?;
    let address = bench.address(0);
    for (id, expected) in [(old.ct_id, 0), (new.ct_id, new.ct_id)] {
        bench.object.call("run_claim", [address, id])?;
        same("claimed", bench.object.data().outcome, expected)?;
        same("claims", bench.object.claimed(), 0)?;
    }
    bench.object.claim(new.ct_id)?;
    bench.object.call("run_claim", [address, new.ct_id])?;
    same("claimed twice", bench.object.data().outcome, 0)?;
    bench.object.release(new.ct_id)
}
