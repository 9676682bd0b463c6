//! A connection is seen for the first time, or again.

use anyhow::ensure;
use shared::record::status;
use shared::record::wire::Record;
use shared::record::wire::family;
use shared::record::wire::kind;
use shared::record::wire::known;

use crate::bench::Bench;
use crate::bench::ESTABLISHED;
use crate::bench::ESTABLISHED_REPLY;
use crate::bench::INODES;
use crate::bench::NEW;
use crate::bench::NF_ACCEPT;
use crate::bench::NF_DROP;
use crate::bench::RELATED;
use crate::bench::RELATED_REPLY;
use crate::bench::monotonic_ns;
use crate::bench::same;
use crate::bpf::secrets::hidden;
use crate::case::cases;
use crate::fake::Conn;
use crate::fake::Net;

cases! {
    an_ipv4_connection_is_reported_with_all_it_has
    an_ipv6_connection_is_reported_with_all_it_has
    a_repeated_packet_refreshes_the_entry_and_reports_nothing
    a_repeated_packet_of_a_forgotten_connection_reports_nothing
    nothing_is_a_connection_before_it_is_confirmed
    a_packet_without_a_connection_is_nothing
    the_first_packet_after_a_reply_is_learnt_from_once
    an_established_packet_of_an_older_connection_is_not_read
    a_reply_to_a_client_outside_shows_its_connection
    a_reply_of_an_assured_connection_is_not_read
    a_reply_after_the_expiry_is_of_the_same_connection
    an_expected_connection_is_reported_and_an_icmp_error_is_not
    a_confirmed_call_counts_if_it_was_accepted_and_did_confirm
    an_inserted_connection_counts_if_the_call_succeeded
    both_hooks_report_one_connection_once
    the_same_tuple_in_another_zone_or_namespace_is_another_connection
}

/// Are all fields of a record those of the connection?
fn shows(record: &Record, conn: &Conn) -> anyhow::Result<()> {
    let ipv4 = conn.l3num == u16::from(family::IPV4);
    let address = |raw: [u8; 16]| {
        let mut mapped = [0; 16];
        (mapped[10], mapped[11]) = (0xff, 0xff);
        mapped[12..].copy_from_slice(&raw[..4]);
        if ipv4 { mapped } else { raw }
    };
    let expected = Record {
        ts_mono_ns: record.ts_mono_ns,
        ct_id: record.ct_id,
        r#type: kind::NEW,
        family: if ipv4 { family::IPV4 } else { family::IPV6 },
        proto: conn.proto,
        nat: 0,
        netns_ino: INODES[0],
        status: conn.status,
        mark: conn.mark,
        zone: conn.zone,
        known: known::NETNS | known::STATUS | known::MARK | known::ZONE,
        orig_src: address(conn.orig.src),
        orig_dst: address(conn.orig.dst),
        reply_src: address(conn.reply.src),
        reply_dst: address(conn.reply.dst),
        orig_sport: conn.orig.sport,
        orig_dport: conn.orig.dport,
        reply_sport: conn.reply.sport,
        reply_dport: conn.reply.dport,
        ..Record::BLANK
    };
    same("record", *record, expected)?;
    ensure!(
        record.ct_id != 0 && record.ct_id < 1 << 53,
        "id {}",
        record.ct_id
    );
    Ok(())
}

fn is_reported_with_all_it_has(bench: &mut Bench, conn: Conn) -> anyhow::Result<()> {
    let before = monotonic_ns()?;
    bench.first_packet(0, conn)?;
    let after = monotonic_ns()?;
    let [new] = bench.records([kind::NEW])?;
    shows(&new, &conn)?;
    ensure!(
        (before..=after).contains(&new.ts_mono_ns),
        "time {}",
        new.ts_mono_ns
    );
    let entry = bench.entry()?;
    same("id", entry.ct_id(), new.ct_id)?;
    same("hidden nf_conn", entry.ct(), hidden(bench.address(0)))?;
    same("flags", entry.flags(), 0)?;
    same("status", entry.status(), conn.status)?;
    same("mark", entry.mark(), conn.mark)
}

fn an_ipv4_connection_is_reported_with_all_it_has(bench: &mut Bench) -> anyhow::Result<()> {
    is_reported_with_all_it_has(bench, Conn::udp(1))
}

fn an_ipv6_connection_is_reported_with_all_it_has(bench: &mut Bench) -> anyhow::Result<()> {
    is_reported_with_all_it_has(bench, Conn::udp6(1))
}

fn a_repeated_packet_refreshes_the_entry_and_reports_nothing(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    for conn in [Conn::udp(1), Conn::udp6(2)] {
        bench.first_packet(0, conn)?;
        bench.records([kind::NEW])?;
        let was = bench.entry_of(0)?;
        let again = Conn {
            mark: 5,
            expires_in: conn.expires_in + 3,
            ..conn.with(status::SEEN_REPLY)
        };
        bench.first_packet(0, again)?;
        bench.records([])?;
        let entry = bench.entry_of(0)?;
        same("id", entry.ct_id(), was.ct_id())?;
        same("status", entry.status(), again.status)?;
        same("mark", entry.mark(), 5)?;
        let moved = entry.expires_jiffies().wrapping_sub(was.expires_jiffies());
        same("expiry", moved, 3)?;
        bench.object.remove(&entry)?;
    }
    Ok(())
}

fn a_repeated_packet_of_a_forgotten_connection_reports_nothing(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    let conn = bench.first_packet(0, Conn::udp(1))?;
    bench.records([kind::NEW])?;
    let was = bench.entry()?;
    bench.object.data().recent.fill(0);
    bench.first_packet(0, Conn { mark: 5, ..conn })?;
    bench.records([])?;
    let entry = bench.entry()?;
    same("id", entry.ct_id(), was.ct_id())?;
    same("mark", entry.mark(), 5)
}

fn nothing_is_a_connection_before_it_is_confirmed(bench: &mut Bench) -> anyhow::Result<()> {
    for (slot, conn) in [Conn::udp(1), Conn::udp6(1)].into_iter().enumerate() {
        let unconfirmed = Conn { status: 0, ..conn };
        bench.place(slot, unconfirmed);
        for info in [NEW, RELATED, ESTABLISHED_REPLY, RELATED_REPLY, NEW] {
            bench.packet(info, slot)?;
        }
        bench.records([])?;
        bench.entries_are(slot)?;
        // On its way it was translated.
        bench.first_packet(slot, conn.dnat(1))?;
        let [new] = bench.records([kind::NEW])?;
        same("reply port", new.reply_sport, 5353)?;
    }
    Ok(())
}

fn a_packet_without_a_connection_is_nothing(bench: &mut Bench) -> anyhow::Result<()> {
    for nfct in [0, NEW, 7] {
        let skb = bench.packet_of(nfct);
        bench.object.call("on_net_dev_queue", [skb, 0])?;
        bench.object.call("run_after_confirm", [skb, NF_ACCEPT])?;
    }
    bench.entries_are(0)
}

fn the_first_packet_after_a_reply_is_learnt_from_once(bench: &mut Bench) -> anyhow::Result<()> {
    let conn = bench.first_packet(0, Conn::udp(1))?;
    bench.records([kind::NEW])?;
    let replied = bench.place(0, conn.with(status::SEEN_REPLY));
    bench.packet(ESTABLISHED, 0)?;
    same("status", bench.entry()?.status(), replied.status)?;
    // Then it costs nothing, and says nothing.
    bench.place(0, replied.with(status::ASSURED));
    bench.packet(ESTABLISHED, 0)?;
    same("status", bench.entry()?.status(), replied.status)?;
    bench.records([])?;
    Ok(())
}

fn an_established_packet_of_an_older_connection_is_not_read(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    bench.place(0, Conn::udp(1).with(status::SEEN_REPLY));
    bench.packet(ESTABLISHED, 0)?;
    bench.records([])?;
    bench.entries_are(0)
}

fn a_reply_to_a_client_outside_shows_its_connection(bench: &mut Bench) -> anyhow::Result<()> {
    let conn = bench.place(0, Conn::udp(1).with(status::SEEN_REPLY));
    bench.packet(ESTABLISHED_REPLY, 0)?;
    let [new] = bench.records([kind::NEW])?;
    shows(&new, &conn)?;
    bench.packet(ESTABLISHED_REPLY, 0)?;
    bench.packet(RELATED_REPLY, 0)?;
    bench.records([])?;
    Ok(())
}

fn a_reply_of_an_assured_connection_is_not_read(bench: &mut Bench) -> anyhow::Result<()> {
    bench.place(0, Conn::udp(1).with(status::SEEN_REPLY | status::ASSURED));
    bench.packet(ESTABLISHED_REPLY, 0)?;
    bench.packet(RELATED_REPLY, 0)?;
    bench.records([])?;
    bench.entries_are(0)
}

fn a_reply_after_the_expiry_is_of_the_same_connection(bench: &mut Bench) -> anyhow::Result<()> {
    let conn = Conn::udp(1).with(status::SEEN_REPLY);
    let late = Conn {
        expires_in: -100,
        ..conn
    };
    bench.place(0, late);
    bench.packet(ESTABLISHED_REPLY, 0)?;
    // The client's packets, which we do not see, kept it alive.
    bench.place(0, conn);
    bench.packet(ESTABLISHED_REPLY, 0)?;
    bench.records([kind::NEW])?;
    Ok(())
}

fn an_expected_connection_is_reported_and_an_icmp_error_is_not(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    bench.place(0, Conn::udp(1));
    bench.packet(RELATED, 0)?;
    bench.records([])?;
    let expected = bench.place(0, Conn::udp(1).with(status::EXPECTED));
    bench.packet(RELATED, 0)?;
    let [new] = bench.records([kind::NEW])?;
    shows(&new, &expected)?;
    bench.packet(RELATED, 0)?;
    bench.records([])?;
    Ok(())
}

fn a_confirmed_call_counts_if_it_was_accepted_and_did_confirm(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    // The mechanisms: a kprobe pair, and fexit.
    let confirm = |bench: &mut Bench, slot: usize, is_pair: bool, verdict: u64| {
        let skb = bench.packet_of(bench.address(slot) | NEW);
        if is_pair {
            bench.object.call("run_on_confirm", [skb, 0x1000])?;
            bench.object.call("run_on_confirmed", [verdict, 0x1008])
        } else {
            bench.object.call("run_after_confirm", [skb, verdict])
        }
    };
    for (slot, is_pair) in [true, false].into_iter().enumerate() {
        let conn = Conn::udp(slot as u16);
        bench.place(slot, Conn { status: 0, ..conn });
        // On a packet of the reply direction it returns NF_ACCEPT and does nothing.
        confirm(bench, slot, is_pair, NF_ACCEPT)?;
        bench.records([])?;
        bench.place(slot, conn);
        confirm(bench, slot, is_pair, NF_DROP)?;
        bench.records([])?;
        confirm(bench, slot, is_pair, NF_ACCEPT)?;
        let [new] = bench.records([kind::NEW])?;
        shows(&new, &conn)?;
        confirm(bench, slot, is_pair, NF_ACCEPT)?;
        bench.records([])?;
    }
    Ok(())
}

fn an_inserted_connection_counts_if_the_call_succeeded(bench: &mut Bench) -> anyhow::Result<()> {
    let exists = u64::from_ne_bytes((-17_i64).to_ne_bytes());
    for (slot, is_pair) in [true, false].into_iter().enumerate() {
        let conn = bench.place(slot, Conn::udp6(slot as u16));
        let address = bench.address(slot);
        for returned in [exists, 0] {
            if is_pair {
                bench.object.call("run_on_insert", [address, 0x1000])?;
                bench.object.call("run_on_inserted", [returned, 0x1008])?;
            } else {
                bench.object.call("run_after_insert", [address, returned])?;
            }
            bench.entries_are(slot + usize::from(returned == 0))?;
        }
        let [new] = bench.records([kind::NEW])?;
        shows(&new, &conn)?;
    }
    Ok(())
}

fn both_hooks_report_one_connection_once(bench: &mut Bench) -> anyhow::Result<()> {
    bench.place(0, Conn::udp(1));
    let skb = bench.packet_of(bench.address(0) | NEW);
    bench.object.call("run_after_confirm", [skb, NF_ACCEPT])?;
    bench.object.call("on_net_dev_queue", [skb, 0])?;
    bench
        .object
        .call("run_after_insert", [bench.address(0), 0])?;
    bench.records([kind::NEW])?;
    bench.entries_are(1)
}

fn the_same_tuple_in_another_zone_or_namespace_is_another_connection(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    let conn = bench.first_packet(0, Conn::udp(1))?;
    bench.first_packet(1, Conn { zone: 8, ..conn })?;
    bench.first_packet(
        2,
        Conn {
            net: Net::Second,
            ..conn
        },
    )?;
    bench.first_packet(3, Conn { proto: 132, ..conn })?;
    let news = bench.records([kind::NEW; 4])?;
    same("zones", news.map(|new| new.zone), [7, 8, 7, 7])?;
    let [first, second] = INODES;
    same(
        "namespaces",
        news.map(|new| new.netns_ino),
        [first, first, second, first],
    )?;
    bench.entries_are(4)?;
    bench.destroyed(1)?;
    bench.records([kind::DESTROY])?;
    bench.entries_are(3)
}
