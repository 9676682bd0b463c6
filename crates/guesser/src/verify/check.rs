//! Judges what was read at the found offsets. Pure.

use std::collections::BTreeSet;
use std::collections::HashMap;

use crate::fields::Place;
use crate::solve::addresses::Addresses;
use crate::solve::addresses::is_kernel_address;
use crate::solve::bytes::indices_of;
use crate::solve::clock::Clock;
use crate::solve::sample::Expectations;
use crate::solve::sample::Expected;
use crate::solve::sample::leads_along;
use crate::way::Reading;
use crate::way::Way;

/// A place, and which of an event's readings are of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The place.
    pub place: Place,
    /// How its struct is reached.
    pub way: Way,
    /// Its own bytes.
    pub read: usize,
    /// Of an index the buffer that it counts in.
    pub beside: Option<usize>,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Check {
    addresses: HashMap<Place, Addresses>,
    clocks: HashMap<Place, Clock>,
    /// How often each place held along each way what it must, and that was not nothing.
    confirmed: HashMap<(Place, Way), u32>,
    contradicted: BTreeSet<Place>,
}

impl Check {
    /// Judges the events while we caused one: one of them must show all that is expected. Events of
    /// others are there at times; ours is the one that disagrees least, and if even that one
    /// disagrees, the offsets are wrong. Says whether there was any.
    pub fn judge(
        &mut self,
        points: &[Point],
        expected: &Expectations,
        events: &[Vec<Reading>],
    ) -> bool {
        let judged = events
            .iter()
            .map(|readings| (wrong(points, expected, readings), readings));
        let Some((wrong, readings)) = judged.min_by_key(|(wrong, _)| wrong.len()) else {
            return false;
        };
        self.contradicted.extend(wrong);
        for (point, expected) in with_expectation(points, expected) {
            if tells(expected) {
                let along = (point.place, point.way.clone());
                *self.confirmed.entry(along).or_default() += 1;
            }
            if !self.remembers(point.place, expected, &readings[point.read].bytes) {
                self.contradicted.insert(point.place);
            }
        }
        true
    }

    /// Whether a value agrees with what the same place held in other events.
    fn remembers(&mut self, place: Place, expected: &Expected, bytes: &[u8]) -> bool {
        match expected {
            Expected::Object { id, .. } => word(bytes).is_some_and(|word| {
                let address = word & !place.spec().tag_mask();
                let addresses = self.addresses.entry(place).or_default();
                addresses.agree(*id, address)
            }),
            Expected::Deadline { ahead_s, between } => number(bytes).is_some_and(|jiffies| {
                let clock = self.clocks.entry(place).or_default();
                clock.agree(*ahead_s, *between, jiffies)
            }),
            _ => true,
        }
    }

    /// How often a point held what it must, and that was not nothing.
    #[must_use]
    pub fn confirmations(&self, point: &Point) -> u32 {
        let along = (point.place, point.way.clone());
        self.confirmed.get(&along).copied().unwrap_or(0)
    }

    /// The places that did not pass.
    #[must_use]
    pub const fn contradicted(&self) -> &BTreeSet<Place> {
        &self.contradicted
    }
}

/// Whether it says something that a place holds: zeros are everywhere.
fn tells(expected: &Expected) -> bool {
    match expected {
        Expected::Bytes { bytes, .. } => bytes.iter().any(|byte| *byte != 0),
        Expected::Shifted { value, .. } => *value != 0,
        _ => true,
    }
}

fn with_expectation<'a>(
    points: &'a [Point],
    expected: &'a Expectations,
) -> impl Iterator<Item = (&'a Point, &'a Expected)> {
    let reached = points
        .iter()
        .filter(|point| leads_along(expected, &point.way));
    reached.filter_map(|point| {
        let mut expected = expected.iter();
        let (_, expected) = expected.find(|(place, _)| *place == point.place)?;
        Some((point, expected))
    })
}

/// The places of an event whose own bytes are not what they must be.
fn wrong(points: &[Point], expected: &Expectations, readings: &[Reading]) -> Vec<Place> {
    let is_right = |point: &Point, expected: &Expected| {
        let own = &readings[point.read].bytes;
        let beside = point.beside.map(|index| &readings[index]);
        let tag_mask = point.place.spec().tag_mask();
        match expected {
            Expected::Bytes { bytes, .. } => bytes == own,
            Expected::Shifted { value, shift, .. } => {
                number(own).map(|found| found >> shift) == Some(*value)
            }
            Expected::Object { tag, .. } => word(own).is_some_and(|word| word & tag_mask == *tag),
            Expected::Null => word(own).is_some_and(|word| word & !tag_mask == 0),
            Expected::Address => word(own).is_some_and(is_kernel_address),
            Expected::Back => {
                let parent = readings[point.read].parent_address;
                parent != 0 && word(own) == Some(parent)
            }
            Expected::Index {
                landmark,
                further_bytes,
                ..
            } => beside.is_some_and(|buffer| {
                let indices = indices_of(&buffer.bytes, landmark, *further_bytes);
                indices.iter().any(|index| own[..] == index.to_ne_bytes())
            }),
            Expected::Deadline { .. } => own.len() == 4,
        }
    };
    with_expectation(points, expected)
        .filter(|(point, expected)| !is_right(point, expected))
        .map(|(point, _)| point.place)
        .collect()
}

fn word(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use shared::offsets::Field;

    use super::*;
    use crate::fields::Event;
    use crate::solve::sample::Worth;

    const MARK: u32 = 0xabad_1dea;
    const CT: u64 = 0xffff_8880_0000_4000;
    const NFCT_PLACE: Place = Place::Field(Field::SkBuffNfct);
    const MARK_PLACE: Place = Place::Field(Field::NfConnMark);
    const POINTS: [Point; 2] = [point(NFCT_PLACE, 0), point(MARK_PLACE, 1)];

    const fn point(place: Place, read: usize) -> Point {
        Point {
            place,
            way: Way::to_shown(Event::Packet),
            read,
            beside: None,
        }
    }

    fn expected(flow: u64) -> Expectations {
        let mark = Expected::Bytes {
            bytes: MARK.to_ne_bytes().to_vec(),
            worth: Worth::Given(32),
        };
        let connection = Expected::Object { id: flow, tag: 2 };
        vec![(MARK_PLACE, mark), (NFCT_PLACE, connection)]
    }

    fn reading(bytes: &[u8]) -> Reading {
        Reading {
            address: CT,
            parent_address: CT,
            bytes: bytes.to_vec(),
        }
    }

    fn event(nfct: u64, mark: u32) -> Vec<Reading> {
        vec![reading(&nfct.to_ne_bytes()), reading(&mark.to_ne_bytes())]
    }

    fn contradicted(flows: &[(u64, &[Vec<Reading>])]) -> Vec<Place> {
        let mut check = Check::default();
        for (flow, events) in flows {
            check.judge(&POINTS, &expected(*flow), events);
        }
        check.contradicted().iter().copied().collect()
    }

    #[test]
    fn ours_is_found_among_events_of_others() {
        let stranger = event(0, 0);
        let ours = event(CT | 2, MARK);
        assert_eq!(
            contradicted(&[(1, &[stranger.clone(), ours, stranger])]),
            []
        );
    }

    #[test]
    fn each_way_to_be_wrong_is_noticed() {
        let (nfct, mark) = (NFCT_PLACE, MARK_PLACE);
        let unread = vec![event(CT | 2, 0)[0].clone(), reading(&[])];
        for (events, wrong) in [
            (vec![event(CT | 2, MARK + 1)], vec![mark]),
            (vec![event(CT | 3, MARK)], vec![nfct]),
            (vec![event(2, MARK)], vec![nfct]),
            (vec![unread], vec![mark]),
            (vec![event(0, 0)], vec![nfct, mark]),
        ] {
            assert_eq!(contradicted(&[(1, &events)]), wrong, "{events:?}");
        }
    }

    #[test]
    fn one_connection_has_one_address() {
        let at = |address: u64| [event(address | 2, MARK)];
        let (here, there) = (at(CT), at(CT + 0x400));
        assert_eq!(contradicted(&[(1, &here), (1, &here), (2, &there)]), []);
        assert_eq!(contradicted(&[(1, &here), (1, &there)]), [NFCT_PLACE]);
        assert_eq!(contradicted(&[(1, &here), (2, &here)]), [NFCT_PLACE]);
    }

    #[test]
    fn a_packet_without_a_connection_must_show_none() {
        let untracked = vec![(NFCT_PLACE, Expected::Null)];
        for (events, wrong) in [
            (vec![event(0, 0)], 0),
            // IP_CT_UNTRACKED: a tag and no address.
            (vec![event(CT | 2, MARK), event(7, 0)], 0),
            (vec![event(CT | 2, MARK)], 1),
        ] {
            let mut check = Check::default();
            assert!(check.judge(&POINTS, &untracked, &events));
            assert_eq!(check.contradicted().len(), wrong, "{events:?}");
        }
    }

    #[test]
    fn a_header_must_be_where_its_index_says() {
        let place = Place::Field(Field::SkBuffNetworkHeader);
        let points = [Point {
            place,
            way: Way::to_shown(Event::Packet),
            read: 0,
            beside: Some(1),
        }];
        let expected = vec![(
            place,
            Expected::Index {
                landmark: b"abc".to_vec(),
                further_bytes: -2,
                bits: 3,
            },
        )];
        for (index, wrong) in [(2_u16, 0), (3, 1)] {
            let mut check = Check::default();
            let events = [vec![reading(&index.to_ne_bytes()), reading(b"....abc")]];
            check.judge(&points, &expected, &events);
            assert_eq!(check.contradicted().len(), wrong);
        }
    }
}
