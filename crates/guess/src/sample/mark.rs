//! Marks: numbers that we give our packets and sockets to distinguish our events from those of others.
//! Pure.

use std::collections::BTreeMap;

use crate::fields::Event;
use crate::path::Reading;

/// For each kind of event with a working hook, which word of the shown object holds the mark.
pub type Marks = BTreeMap<Event, usize>;

/// Which word of the object that the hook shows is this mark. No other event has the mark, so an event
/// without it is not ours.
pub fn mark_at(mark: u32, readings: &[Reading]) -> Option<usize> {
    let mark = mark.to_ne_bytes();
    let shown = readings.first()?;
    shown.bytes.chunks_exact(4).position(|word| word == mark)
}

/// Our event; none if there is none, or if a packet was queued more than once. A route may be looked up
/// in several tables, of which the first counts.
pub fn ours(
    event: Event,
    mut events: Vec<Vec<Reading>>,
    is_ours: impl Fn(&[Reading]) -> bool,
) -> Option<Vec<Reading>> {
    events.retain(|readings| is_ours(readings));
    let is_one = event != Event::Packet || events.len() == 1;
    events.into_iter().next().filter(|_| is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(bytes: &[u8]) -> Reading {
        Reading {
            address: 1,
            parent_address: 1,
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn an_event_is_ours_if_it_holds_the_mark_in_one_place() {
        let mark = 0x0102_0304_u32;
        let mut shown = vec![0; 64];
        assert_eq!(mark_at(mark, &[reading(&shown)]), None);
        assert_eq!(mark_at(mark, &[]), None);
        shown[22..26].copy_from_slice(&mark.to_ne_bytes());
        assert_eq!(mark_at(mark, &[reading(&shown)]), None, "across two words");
        shown[40..44].copy_from_slice(&mark.to_ne_bytes());
        assert_eq!(mark_at(mark, &[reading(&shown)]), Some(10));
        // In another object it proves nothing about the event.
        assert_eq!(mark_at(mark, &[reading(&[0; 64]), reading(&shown)]), None);
    }

    #[test]
    fn a_packet_is_seen_once_and_a_lookup_perhaps_more_often() {
        let event = |byte| vec![reading(&[byte])];
        let is_ours = |readings: &[Reading]| readings[0].bytes == [1];
        for (kind, events, seen) in [
            (Event::Packet, vec![event(0), event(1), event(0)], true),
            (Event::Packet, vec![event(1), event(1)], false),
            (Event::Route4, vec![event(0), event(1), event(1)], true),
            (Event::Route4, vec![event(0)], false),
        ] {
            assert_eq!(ours(kind, events, is_ours), seen.then(|| event(1)));
        }
    }
}
