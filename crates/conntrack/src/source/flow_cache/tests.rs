//! The cache on sequences of events and dumps.

use shared::record::wire::address_bytes;
use shared::record::wire::family;

use shared::record::status::NAT_CLASH;
use shared::record::wire::known;

use super::*;

fn flow(port: u16, kernel_id: u64) -> Record {
    let [a, b] = [1, 2].map(|last| address_bytes([10, 0, 0, last].into()));
    Record {
        r#type: kind::NEW,
        family: family::IPV4,
        ct_id: kernel_id,
        orig_src: a,
        orig_dst: b,
        reply_src: b,
        reply_dst: a,
        orig_sport: port,
        known: known::STATUS,
        ..Record::BLANK
    }
}

fn cache(max_entries: u32) -> FlowCache {
    FlowCache::new(max_entries, FlowIds::of_user_space().unwrap(), None)
}

/// What one call reports: types and ids.
type Reported = Vec<(u8, u64)>;

fn reported(call: impl FnOnce(Sink<'_>)) -> Reported {
    let mut reported = Vec::new();
    call(&mut |record| reported.push((record.r#type, record.ct_id)));
    reported
}

fn begin(cache: &mut FlowCache, record: &Record, teller: Teller) -> Reported {
    reported(|sink| {
        cache.begin(record, teller, sink).unwrap();
    })
}

fn event(cache: &mut FlowCache, port: u16, id: u64) -> Reported {
    begin(cache, &flow(port, id), Teller::Event)
}

fn end(cache: &mut FlowCache, record: &Record) -> Reported {
    let record = Record {
        r#type: kind::DESTROY,
        ..*record
    };
    reported(|sink| cache.end(&record, sink).unwrap())
}

#[test]
fn a_connection_with_the_kernels_old_id_has_another_of_ours() {
    let mut cache = cache(10);
    let first = event(&mut cache, 1, 7);
    let ended = end(&mut cache, &flow(1, 7));
    let second = event(&mut cache, 1, 7);
    assert_eq!((first.len(), ended.len(), second.len()), (1, 1, 1));
    assert_eq!(ended, [(kind::DESTROY, first[0].1)]);
    assert_ne!(first[0].1, second[0].1);
    // Its end was lost: the kernel never tells of one beginning twice.
    let third = event(&mut cache, 1, 7);
    assert_eq!(third[0], (kind::DESTROY, second[0].1));
    assert_eq!((third.len(), third[1].0), (2, kind::NEW));
}

#[test]
fn a_connection_may_be_replaced_and_a_late_end_is_not_its_successors() {
    let mut cache = cache(10);
    let first = event(&mut cache, 1, 1);
    let second = event(&mut cache, 1, 2);
    assert_eq!(second[0], (kind::DESTROY, first[0].1));
    assert_eq!(second.len(), 2);
    assert_eq!(end(&mut cache, &flow(1, 1)), []);
    assert_eq!(end(&mut cache, &flow(1, 2)).len(), 1);
    assert_eq!(end(&mut cache, &flow(1, 2)), [], "no end comes twice");
}

#[test]
fn a_dump_and_the_event_that_was_on_its_way_are_one_beginning() {
    let mut cache = cache(10);
    let dumped = begin(&mut cache, &flow(1, 1), Teller::Dump);
    assert_eq!(dumped.len(), 1);
    assert_eq!(begin(&mut cache, &flow(1, 1), Teller::Dump), []);
    assert_eq!(event(&mut cache, 1, 1), []);
    let another = event(&mut cache, 1, 1);
    assert_eq!(another[0], (kind::DESTROY, dumped[0].1));
    // Nothing is on its way any more.
    let settled = begin(&mut cache, &flow(2, 2), Teller::Dump);
    cache.settle();
    let another = event(&mut cache, 2, 2);
    assert_eq!(another[0], (kind::DESTROY, settled[0].1));
    assert_eq!(another.len(), 2);
}

#[test]
fn another_translation_is_another_connection() {
    let mut cache = cache(10);
    let dumped = begin(&mut cache, &flow(1, 1), Teller::Dump);
    let elsewhere = Record {
        reply_sport: 99,
        ..flow(1, 1)
    };
    let reborn = begin(&mut cache, &elsewhere, Teller::Event);
    assert_eq!(reborn[0], (kind::DESTROY, dumped[0].1));
    assert!(cache.has(&elsewhere) && !cache.has(&flow(1, 1)));
}

#[test]
fn what_has_no_room_is_counted_once_and_never_reported() {
    let mut cache = cache(1);
    assert_eq!(event(&mut cache, 1, 1).len(), 1);
    for _ in 0..2 {
        assert_eq!(begin(&mut cache, &flow(2, 2), Teller::Dump), []);
    }
    assert_eq!(event(&mut cache, 2, 2), []);
    assert_eq!(cache.lost(Loss::TableFull), 1);
    // Room for it comes too late.
    end(&mut cache, &flow(1, 1));
    assert_eq!(begin(&mut cache, &flow(2, 2), Teller::Dump), []);
    assert_eq!(end(&mut cache, &flow(2, 2)), []);
    assert_eq!(event(&mut cache, 2, 2).len(), 1);
    assert_eq!(cache.lost(Loss::TableFull), 1);
    // Each family has its own room.
    let family = family::IPV6;
    let v6 = Record {
        family,
        ..flow(3, 3)
    };
    assert_eq!(begin(&mut cache, &v6, Teller::Event).len(), 1);
    assert_eq!(event(&mut cache, 4, 4), []);
    assert_eq!(cache.lost(Loss::TableFull), 2);
}

#[test]
fn the_loser_of_a_clash_is_beside_the_winner() {
    let mut cache = cache(10);
    let winner = event(&mut cache, 1, 1);
    let loser = Record {
        status: NAT_CLASH,
        reply_sport: 2,
        ..flow(1, 2)
    };
    // Of its beginning the kernel does not tell.
    let ended = end(&mut cache, &loser);
    assert_eq!((ended.len(), ended[0].0), (1, kind::DESTROY));
    assert_ne!(ended[0].1, winner[0].1);
    // If it did, both would live.
    assert_eq!(begin(&mut cache, &loser, Teller::Event).len(), 1);
    let none = reported(|sink| cache.retain(&Present::default(), |_| false, sink).unwrap());
    assert_eq!(none, []);
    let gone = reported(|sink| cache.retain(&Present::default(), |_| true, sink).unwrap());
    assert_eq!(gone, [(kind::DESTROY, winner[0].1)]);
    assert!(cache.has(&loser));
}

#[test]
fn what_a_dump_lacks_has_ended_with_a_status_that_nobody_knows() {
    let mut cache = cache(10);
    let ids: Vec<u64> = (1..=4)
        .map(|port| event(&mut cache, port, port.into())[0].1)
        .collect();
    let mut present = Present::default();
    for port in [2, 4] {
        present.insert(&flow(port, port.into()));
    }
    let mut ends = Vec::new();
    cache
        .retain(&present, |_| true, &mut |record| {
            assert_eq!((record.r#type, record.known), (kind::DESTROY, 0));
            ends.push(record.ct_id);
        })
        .unwrap();
    ends.sort_unstable();
    let mut expected = [ids[0], ids[2]];
    expected.sort_unstable();
    assert_eq!(ends, expected);
}
