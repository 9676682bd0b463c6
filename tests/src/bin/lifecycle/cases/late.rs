//! Packets and calls that come after an end: of the connection that ended, or of its successor.

use shared::record::status;
use shared::record::wire::kind;

use crate::bench::Bench;
use crate::bench::ESTABLISHED_REPLY;
use crate::bench::NEW;
use crate::bench::NF_ACCEPT;
use crate::bench::same;
use crate::case::cases;
use crate::fake::Conn;

cases! {
    a_late_packet_of_one_that_has_ended_begins_nothing
    a_late_answer_of_one_that_has_ended_begins_nothing
    a_refused_call_from_outside_is_first_seen_dying
    a_refused_call_is_not_what_its_memory_served_before
    a_refused_call_again_is_another_although_the_memory_serves_a_third
    a_kprobe_knows_which_nf_conn_was_confirmed
    a_confirmation_ends_what_a_dump_loaded_long_before
    an_end_is_no_later_than_the_beginning_of_its_successor
}

fn a_late_packet_of_one_that_has_ended_begins_nothing(bench: &mut Bench) -> anyhow::Result<()> {
    let conn = bench.first_packet(0, Conn::udp(1))?;
    bench.place(0, conn.with(status::DYING));
    bench.sweep()?;
    bench.records([kind::NEW, kind::DESTROY])?;
    bench.packet(NEW, 0)?;
    bench.records([])?;
    bench.entries_are(0)
}

fn a_late_answer_of_one_that_has_ended_begins_nothing(bench: &mut Bench) -> anyhow::Result<()> {
    let conn = bench.first_packet(0, Conn::udp(1))?;
    bench.place(0, conn.with(status::DYING));
    bench.sweep()?;
    bench.records([kind::NEW, kind::DESTROY])?;
    bench.packet(ESTABLISHED_REPLY, 0)?;
    bench.records([])?;
    bench.entries_are(0)
}

fn a_refused_call_from_outside_is_first_seen_dying(bench: &mut Bench) -> anyhow::Result<()> {
    bench.place(0, Conn::udp(1).with(status::DYING));
    bench.packet(ESTABLISHED_REPLY, 0)?;
    bench.records([kind::NEW])?;
    bench.sweep()?;
    bench.records([kind::DESTROY])?;
    Ok(())
}

fn a_refused_call_is_not_what_its_memory_served_before(bench: &mut Bench) -> anyhow::Result<()> {
    for (before, refused) in [(Conn::udp(1), Conn::udp(2)), (Conn::udp6(1), Conn::udp6(2))] {
        bench.first_packet(0, before)?;
        bench.destroyed(0)?;
        bench.records([kind::NEW, kind::DESTROY])?;
        bench.place(0, refused.with(status::DYING));
        bench.packet(ESTABLISHED_REPLY, 0)?;
        bench.records([kind::NEW])?;
        bench.destroyed(0)?;
        bench.records([kind::DESTROY])?;
    }
    Ok(())
}

fn a_refused_call_again_is_another_although_the_memory_serves_a_third(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    let refused = Conn::udp(1).with(status::DYING);
    bench.place(0, refused);
    bench.packet(ESTABLISHED_REPLY, 0)?;
    bench.records([kind::NEW])?;
    // Alive, and nothing of it was seen here.
    bench.place(0, Conn::udp(2));
    bench.place(1, refused);
    bench.packet(ESTABLISHED_REPLY, 1)?;
    bench.records([kind::DESTROY, kind::NEW])?;
    bench.destroyed(1)?;
    bench.records([kind::DESTROY])?;
    Ok(())
}

/// A kprobe at the entry of the confirmation, and one at its return.
fn confirm(bench: &mut Bench, before: Conn, after: Conn) -> anyhow::Result<()> {
    const STACK: u64 = 0x8000;
    bench.place(0, before);
    let skb = bench.packet_of(bench.address(0) | NEW);
    bench.object.call("run_on_confirm", [skb, STACK])?;
    bench.place(0, after);
    bench
        .object
        .call("run_on_confirmed", [NF_ACCEPT, STACK + 8])?;
    Ok(())
}

fn a_kprobe_knows_which_nf_conn_was_confirmed(bench: &mut Bench) -> anyhow::Result<()> {
    let confirmed = Conn::udp(1);
    let unconfirmed = Conn {
        status: confirmed.status & !status::CONFIRMED,
        ..confirmed
    };
    confirm(bench, unconfirmed, confirmed)?;
    bench.records([kind::NEW])?;
    // The packet's connection lost a race, and got the winner's: nothing new.
    confirm(bench, confirmed, confirmed)?;
    bench.records([])?;
    // The same memory, tuple and translation, but it was not in the table: the end was missed.
    confirm(bench, unconfirmed, confirmed)?;
    bench.records([kind::DESTROY, kind::NEW])?;
    Ok(())
}

fn a_confirmation_ends_what_a_dump_loaded_long_before(bench: &mut Bench) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1))?;
    bench.records([kind::NEW])?;
    let loaded = bench.entry()?.without_nf_conn();
    let skb = bench.packet_of(bench.address(0) | NEW);
    // The dump overtook the hook.
    bench.object.put(&loaded)?;
    bench.object.call("run_after_confirm", [skb, 1])?;
    bench.records([])?;
    bench.object.put(&loaded.seen_earlier(2_000_000_000))?;
    bench.object.call("run_after_confirm", [skb, 1])?;
    bench.records([kind::DESTROY, kind::NEW])?;
    Ok(())
}

fn an_end_is_no_later_than_the_beginning_of_its_successor(bench: &mut Bench) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1).dnat(1))?;
    bench.first_packet(0, Conn::udp(1).dnat(2))?;
    let [_, end, new] = bench.records([kind::NEW, kind::DESTROY, kind::NEW])?;
    same("end and beginning", end.ts_mono_ns, new.ts_mono_ns)
}
