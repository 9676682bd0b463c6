//! The comparison finds each kind of wrong record, and nothing in a right one.

use std::net::Ipv4Addr;

use super::compare::Flow;
use super::compare::Verdict;
use super::compare::compare;
use super::difference::Fault;
use super::event::Event;
use super::event::Key;
use super::event::Layer4;
use super::event::Tuple;
use super::event::UDP;
use super::event::What;
use super::said::Known;
use super::said::Said;
use super::visible::Sees;
use super::visible::Source;

fn tuple(src: u8, dst: u8, sport: u16, dport: u16) -> Tuple {
    Tuple {
        src: Ipv4Addr::new(10, 0, 0, src).into(),
        dst: Ipv4Addr::new(10, 0, 0, dst).into(),
        layer4: Layer4::Ports(sport, dport),
    }
}

fn key() -> Key {
    Key {
        proto: UDP,
        orig: tuple(1, 9, 4000, 53),
        zone: 0,
    }
}

/// To a backend with this last byte.
fn reply(backend: u8) -> Tuple {
    tuple(backend, 1, 53, 4000)
}

fn event(what: What, id: u64, backend: u8) -> Event {
    Event {
        what,
        key: key(),
        reply: reply(backend),
        id,
        nat: Some(key().orig.translated(reply(backend))),
        confirmed: Some(true),
        replied: Some(true),
        assured: Some(false),
        mark: Some(0),
    }
}

/// A stream of connections one after the other, to these backends.
fn stream(backends: &[u8]) -> Vec<Event> {
    let lives = backends.iter().enumerate().flat_map(|(number, backend)| {
        [What::New, What::Destroy].map(|what| event(what, number as u64, *backend))
    });
    lives.collect()
}

fn flow(backends: &[u8]) -> Flow {
    let known = backends
        .iter()
        .map(|backend| Known::to(reply(*backend), true));
    Flow {
        kind: "kind",
        sees: Sees::All,
        is_ended_by_reply: false,
        said: vec![Said::these(key(), known.collect())],
    }
}

fn judge(source: Source, flow: Flow, oracle: &[Event], ours: &[Event]) -> Verdict {
    compare(source, &[flow], oracle, ours, |_| None)
}

/// The faults of our stream, where the kernel had connections to these backends.
fn faults(backends: &[u8], ours: &[Event]) -> Vec<Fault> {
    let verdict = judge(Source::Kprobe, flow(backends), &stream(backends), ours);
    let faults = verdict.differences.iter();
    faults.map(|difference| difference.fault).collect()
}

/// Our stream of these backends after a change.
fn changed(backends: &[u8], change: impl FnOnce(&mut Vec<Event>)) -> Vec<Fault> {
    let mut ours = stream(backends);
    change(&mut ours);
    faults(backends, &ours)
}

#[test]
fn a_true_account_has_no_difference() {
    for backends in [&[][..], &[2], &[2, 3], &[2, 2, 3, 2]] {
        assert_eq!(faults(backends, &stream(backends)), []);
    }
}

#[test]
fn an_invented_connection_is_found() {
    assert_eq!(faults(&[], &stream(&[2])), [Fault::Invented]);
    assert_eq!(faults(&[2], &stream(&[2, 3])), [Fault::Invented]);
    let mut elsewhere = stream(&[2]);
    for event in &mut elsewhere {
        event.key.zone = 7;
    }
    let ours = [stream(&[2]), elsewhere].concat();
    assert!(faults(&[2], &ours).contains(&Fault::Invented));
}

#[test]
fn a_missed_connection_is_found() {
    assert_eq!(faults(&[2], &[]), [Fault::Missed]);
}

#[test]
fn connections_told_as_one_are_found() {
    assert_eq!(faults(&[2, 2], &stream(&[2])), [Fault::Merged]);
    assert_eq!(faults(&[2, 3, 2], &stream(&[2, 2])), [Fault::Merged]);
    // One record of the beginning of the first, one of the end of the second.
    let ours = [event(What::New, 1, 2), event(What::Destroy, 1, 3)];
    let found = faults(&[2, 3], &ours);
    assert!(found.contains(&Fault::Merged), "{found:?}");
    assert!(found.contains(&Fault::Translation), "{found:?}");
}

#[test]
fn a_connection_told_twice_is_found() {
    assert_eq!(faults(&[2], &stream(&[2, 2])), [Fault::Doubled]);
    let again = changed(&[2], |ours| ours.insert(1, ours[0].clone()));
    assert!(again.contains(&Fault::Doubled), "{again:?}");
    assert!(again.contains(&Fault::Id), "{again:?}");
}

#[test]
fn another_order_is_found() {
    assert_eq!(changed(&[2, 3], |ours| ours.swap(1, 2)), [Fault::Reordered]);
    let found = faults(&[2, 3], &stream(&[3, 2]));
    assert_eq!(found, [Fault::Reordered]);
}

#[test]
fn another_translation_is_found() {
    let found = faults(&[2], &stream(&[3]));
    assert_eq!(found, [Fault::Translation]);
    let found = changed(&[2], |ours| ours[0].nat = None);
    assert_eq!(found, [Fault::Nat]);
}

#[test]
fn an_id_of_two_connections_is_found() {
    let found = changed(&[2, 3], |ours| {
        for event in ours {
            event.id = 5;
        }
    });
    assert_eq!(found, [Fault::Id]);
}

#[test]
fn an_unconfirmed_connection_and_half_a_connection_are_found() {
    let found = changed(&[2], |ours| ours[0].confirmed = Some(false));
    assert_eq!(found, [Fault::Unconfirmed]);
    let found = changed(&[2], |ours| ours[0].confirmed = None);
    assert_eq!(found, [Fault::Unconfirmed]);
    assert_eq!(faults(&[2], &stream(&[2])[1..]), [Fault::Beginning]);
    assert_eq!(faults(&[2], &stream(&[2])[..1]), [Fault::End]);
}

#[test]
fn another_end_is_found_and_an_unknown_one_is_allowed_to_the_tracepoint_alone() {
    let wrong = |change: fn(&mut Event)| changed(&[2], |ours| change(&mut ours[1]));
    assert_eq!(wrong(|end| end.replied = Some(false)), [Fault::Status]);
    assert_eq!(wrong(|end| end.assured = Some(true)), [Fault::Status]);
    assert_eq!(wrong(|end| end.mark = Some(1)), [Fault::Mark]);
    assert_eq!(wrong(|end| end.mark = None), [Fault::Mark]);

    let mut ours = stream(&[2]);
    ours[1].mark = None;
    let verdict = judge(Source::Tracepoint, flow(&[2]), &stream(&[2]), &ours);
    assert_eq!((verdict.differences.len(), verdict.unknown_ends), (0, 1));
    let verdict = judge(Source::Netlink, flow(&[2]), &stream(&[2]), &ours);
    assert_eq!((verdict.differences.len(), verdict.unknown_ends), (0, 0));
    ours[1].mark = Some(4);
    let verdict = judge(Source::Tracepoint, flow(&[2]), &stream(&[2]), &ours);
    assert_eq!(verdict.differences.len(), 1);
}

#[test]
fn two_accounts_of_the_truth_that_disagree_are_found() {
    for (known, truth) in [
        (&[2][..], &[][..]),
        (&[], &[2]),
        (&[2], &[3]),
        (&[2, 3], &[3, 2]),
    ] {
        let verdict = judge(Source::Kprobe, flow(known), &stream(truth), &stream(truth));
        let faults = verdict
            .differences
            .iter()
            .map(|difference| difference.fault);
        assert!(faults.eq([Fault::Oracle]), "{known:?} {truth:?}");
    }
}

#[test]
fn a_limit_allows_what_it_says_and_no_more() {
    let limited = |sees, backends: &[u8], ours: &[Event]| {
        let flow = Flow {
            sees,
            ..flow(backends)
        };
        let verdict = judge(Source::Tracepoint, flow, &stream(backends), ours);
        let faults = verdict.differences.iter();
        faults
            .map(|difference| difference.fault)
            .collect::<Vec<_>>()
    };
    assert_eq!(limited(Sees::Some, &[2, 2], &[]), []);
    assert_eq!(
        limited(Sees::Some, &[2], &stream(&[3])),
        [Fault::Translation]
    );
    assert_eq!(limited(Sees::Some, &[], &stream(&[3])), [Fault::Invented]);
    assert_eq!(limited(Sees::Merged, &[2, 2], &stream(&[2])), []);
    assert_eq!(
        limited(Sees::Merged, &[2, 3], &stream(&[2])),
        [Fault::Merged]
    );
    assert_eq!(limited(Sees::Merged, &[2, 2], &[]), [Fault::Missed; 2]);
}

#[test]
fn of_two_at_once_one_may_lack_the_beginning_that_the_kernel_does_not_send() {
    let clash = Flow {
        sees: Sees::Ends,
        said: vec![Said {
            is_at_once: true,
            ..flow(&[3, 2]).said[0].clone()
        }],
        ..flow(&[])
    };
    let kernels = [
        event(What::New, 1, 2),
        event(What::Destroy, 2, 3),
        event(What::Destroy, 1, 2),
    ];
    let verdict = judge(Source::Netlink, clash.clone(), &kernels, &kernels);
    assert_eq!(verdict.differences, []);
    let all = Flow {
        sees: Sees::All,
        ..clash
    };
    let verdict = judge(Source::Kprobe, all, &kernels, &kernels);
    assert_eq!(verdict.differences[0].fault, Fault::Beginning);
}
