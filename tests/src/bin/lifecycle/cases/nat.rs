//! Which end of a connection is translated.

use shared::record::status;
use shared::record::wire::kind;
use shared::record::wire::nat::DNAT;
use shared::record::wire::nat::SNAT;

use crate::bench::Bench;
use crate::bench::same;
use crate::case::cases;
use crate::fake::Conn;
use crate::fake::ICMP;
use crate::fake::ICMPV6;
use crate::fake::v4;
use crate::fake::v6;

cases! {
    nat_is_what_differs_between_the_tuples
    icmp_is_translated_by_address_or_id_and_its_type_says_nothing
    status_bits_alone_are_no_nat
    two_connections_of_one_tuple_live_side_by_side_after_a_clash
    two_clashes_of_one_tuple_live_side_by_side_too
}

/// Reports connections one after another; each must have its NAT.
fn check(bench: &mut Bench, conns: &[(Conn, u8)]) -> anyhow::Result<()> {
    for (slot, (conn, expected)) in conns.iter().enumerate() {
        bench.first_packet(slot, *conn)?;
        let [new] = bench.records([kind::NEW])?;
        same(&format!("nat of {conn:?}"), new.nat, *expected)?;
        same("by the twin in Rust", new.nat_from_tuples(), *expected)?;
    }
    Ok(())
}

fn nat_is_what_differs_between_the_tuples(bench: &mut Bench) -> anyhow::Result<()> {
    let conn = Conn::udp;
    let conn6 = Conn::udp6;
    let mut cases = vec![
        (conn(1), 0),
        (conn6(1), 0),
        (conn(2).dnat(2), DNAT),
        (conn6(2).dnat(2), DNAT),
    ];
    let mut source = conn(3);
    source.reply.dst = v4(192, 0, 2, 1);
    cases.push((source, SNAT));
    cases.push((source_port(conn(4)), SNAT));
    let mut redirect = conn(5);
    redirect.reply.sport = 5353;
    cases.push((redirect, DNAT));
    cases.push((source_port(conn(6).dnat(2)), SNAT | DNAT));
    // Each word of an IPv6 address counts.
    for (byte, number) in [(0, 3), (5, 4), (9, 5), (15, 6)] {
        let mut source = conn6(number);
        source.reply.dst[byte] ^= 1;
        cases.push((source, SNAT));
        let mut destination = conn6(number + 10);
        destination.reply.src[byte] ^= 1;
        cases.push((destination, DNAT));
    }
    check(bench, &cases)
}

fn source_port(mut conn: Conn) -> Conn {
    conn.reply.dport += 1000;
    conn
}

fn icmp_is_translated_by_address_or_id_and_its_type_says_nothing(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    let mut other_id = Conn::ping(2);
    other_id.reply.sport = 7;
    let mut behind = Conn::ping(3);
    behind.reply.dst = v4(192, 0, 2, 1);
    let mut before = Conn::ping(4);
    before.reply.src = v4(192, 0, 2, 1);
    let mut six = Conn::udp6(5);
    six.proto = ICMPV6;
    (six.orig.dport, six.reply.sport, six.reply.dport) = (128 << 8, 5, 129 << 8);
    let mut six_behind = six;
    six_behind.orig.sport = 6;
    (six_behind.reply.sport, six_behind.reply.dst) = (6, v6(9));
    let mut six_id = six;
    six_id.orig.sport = 8;
    let mut mirrored = Conn::udp(9);
    mirrored.proto = ICMP;
    check(
        bench,
        &[
            (Conn::ping(1), 0),
            (other_id, SNAT),
            (behind, SNAT),
            (before, DNAT),
            (six, 0),
            (six_behind, SNAT),
            (six_id, SNAT),
            // What TCP would have without NAT.
            (mirrored, SNAT),
        ],
    )
}

fn status_bits_alone_are_no_nat(bench: &mut Bench) -> anyhow::Result<()> {
    let done = status::SRC_NAT_DONE | status::DST_NAT_DONE | status::SRC_NAT | status::DST_NAT;
    check(bench, &[(Conn::udp(1).with(done), 0)])
}

fn two_connections_of_one_tuple_live_side_by_side_after_a_clash(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    for (base, conn) in [Conn::udp(1), Conn::udp6(1)].into_iter().enumerate() {
        let (first, second) = (2 * base, 2 * base + 1);
        bench.first_packet(first, conn.dnat(1))?;
        bench.first_packet(second, conn.dnat(2).with(status::NAT_CLASH))?;
        let news = bench.records([kind::NEW, kind::NEW])?;
        // Both go on.
        for slot in [first, second, first, second] {
            bench.packet(crate::bench::NEW, slot)?;
        }
        bench.records([])?;
        same("clash", bench.entry_of(first)?.clash(), 0)?;
        same("has clash", bench.entry_of(second)?.clash() != 0, true)?;
        // In either order.
        let order = if base == 0 {
            [first, second]
        } else {
            [second, first]
        };
        for (left, slot) in [1, 0].into_iter().zip(order) {
            bench.destroyed(slot)?;
            let [gone] = bench.records([kind::DESTROY])?;
            same("id", gone.ct_id, news[slot % 2].ct_id)?;
            same("backend", gone.reply_src, news[slot % 2].reply_src)?;
            bench.entries_are(left)?;
        }
    }
    Ok(())
}

fn two_clashes_of_one_tuple_live_side_by_side_too(bench: &mut Bench) -> anyhow::Result<()> {
    for slot in 0..3 {
        let conn = Conn::udp(1).dnat(slot as u8 + 1).with(status::NAT_CLASH);
        bench.first_packet(slot, conn)?;
    }
    bench.records([kind::NEW; 3])?;
    bench.entries_are(3)?;
    let swept = bench.sweep()?;
    same("kept", swept.kept, [3, 0])
}
