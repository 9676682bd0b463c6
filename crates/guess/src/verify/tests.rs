//! What a verification detects, on readings made by hand.

use shared::offsets::Field;

use super::*;
use crate::solve::sample::Worth;

const MARK: u32 = 0xabad_1dea;
const CT: u64 = 0xffff_8880_0000_4000;
const SKB: u64 = 0xffff_8880_0001_0000;
const NFCT: Place = Place::Field(Field::SkBuffNfct);
const CT_MARK: Place = Place::Field(Field::NfConnMark);

/// The readings of one event, in the order of the plan: our mark, `_nfct`, and the mark behind it.
fn event(nfct: u64, mark: &[u8]) -> Vec<Reading> {
    let reading = |address, bytes: &[u8]| Reading {
        address,
        parent_address: SKB,
        bytes: bytes.to_vec(),
    };
    vec![
        reading(SKB, &MARK.to_ne_bytes()),
        reading(SKB, &nfct.to_ne_bytes()),
        reading(CT, mark),
    ]
}

fn right(nfct: u64) -> Vec<Reading> {
    event(nfct, &MARK.to_ne_bytes())
}

fn tracked(connection: u64) -> Expectations {
    let mark = Expected::Bytes {
        bytes: MARK.to_ne_bytes().to_vec(),
        worth: Worth::Given(32),
    };
    let tag = 2;
    let connection = Expected::Object {
        id: connection,
        tag,
    };
    vec![(CT_MARK, mark), (NFCT, connection)]
}

/// A verification of two offsets that has seen these packets, and whether each was ours.
fn verified(packets: &[(Expectations, Vec<Vec<Reading>>)]) -> (Verification, Vec<bool>) {
    let proven: Proven = [(NFCT, 104), (CT_MARK, 168)].into_iter().collect();
    let marks = Marks::from([(Event::Packet, 10)]);
    let mut verification = Verification::new(&proven, &marks).unwrap();
    let plan = verification.plan(Event::Packet, &[]).unwrap();
    let seen = packets.iter().map(|(expected, events)| {
        verification.observe(Observation {
            name: String::new(),
            mark: MARK,
            plan: Rc::clone(&plan),
            expected: expected.clone(),
            events: events.clone(),
        })
    });
    let seen = seen.collect();
    (verification, seen)
}

fn contradicted(packets: &[(Expectations, Vec<Vec<Reading>>)]) -> Vec<Place> {
    let (verification, _) = verified(packets);
    verification.contradicted().into_iter().collect()
}

#[test]
fn ours_is_found_among_events_of_others() {
    let mut stranger = right(0);
    stranger[0].bytes = vec![0; 4];
    let events = vec![stranger.clone(), right(CT | 2), stranger];
    let (verification, seen) = verified(&[(tracked(1), events)]);
    assert_eq!((seen, verification.contradicted().len()), (vec![true], 0));
}

#[test]
fn each_kind_of_wrong_reading_is_noticed() {
    let wrong_mark = (MARK + 1).to_ne_bytes();
    for (event, wrong) in [
        (event(CT | 2, &wrong_mark), vec![CT_MARK]),
        (right(CT | 3), vec![NFCT]),
        (right(2), vec![NFCT]),
        (event(CT | 2, &[]), vec![CT_MARK]),
        (event(0, &[0; 4]), vec![NFCT, CT_MARK]),
    ] {
        assert_eq!(
            contradicted(&[(tracked(1), vec![event.clone()])]),
            wrong,
            "{event:?}"
        );
    }
}

#[test]
fn one_connection_has_one_address() {
    let at = |connection, address: u64| (tracked(connection), vec![right(address | 2)]);
    let there = CT + 0x400;
    assert_eq!(contradicted(&[at(1, CT), at(1, CT), at(2, there)]), []);
    assert_eq!(contradicted(&[at(1, CT), at(1, there)]), [NFCT]);
    assert_eq!(contradicted(&[at(1, CT), at(2, CT)]), [NFCT]);
}

#[test]
fn a_packet_without_a_connection_must_show_none() {
    let untracked = || vec![(NFCT, Expected::Null)];
    // IP_CT_UNTRACKED: a tag and no address.
    for (nfct, wrong) in [(0, 0), (7, 0), (CT | 2, 1)] {
        let wrongs = contradicted(&[(untracked(), vec![event(nfct, &[0; 4])])]);
        assert_eq!(wrongs.len(), wrong, "{nfct:#x}");
    }
}

#[test]
fn a_header_must_be_where_its_index_says() {
    let (head, header) = (Field::SkBuffHead.into(), Field::SkBuffNetworkHeader.into());
    let proven: Proven = [(head, 200), (header, 180)].into_iter().collect();
    let marks = Marks::from([(Event::Packet, 10)]);
    for (index, wrong) in [(2_u16, 0), (3, 1)] {
        let mut verification = Verification::new(&proven, &marks).unwrap();
        let plan = verification.plan(Event::Packet, &[]).unwrap();
        let bytes_of = |read: &Read| match (read.offset, read.path.steps.len()) {
            (40, 0) => MARK.to_ne_bytes().to_vec(),
            (180, 0) => index.to_ne_bytes().to_vec(),
            (200, 0) => CT.to_ne_bytes().to_vec(),
            _ => b"....abc".to_vec(),
        };
        let readings = plan.reads().map(|read| Reading {
            address: SKB,
            parent_address: SKB,
            bytes: bytes_of(read),
        });
        let network = Expected::Index {
            landmark: b"abc".to_vec(),
            further_bytes: -2,
            bits: 3,
        };
        let observation = Observation {
            name: String::new(),
            mark: MARK,
            plan: Rc::clone(&plan),
            expected: vec![(head, Expected::Address), (header, network)],
            events: vec![readings.collect()],
        };
        assert!(verification.observe(observation));
        assert_eq!(verification.contradicted().len(), wrong);
    }
}
