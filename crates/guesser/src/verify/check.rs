//! Judges what was read at the found offsets. Pure.

use std::collections::BTreeSet;
use std::collections::HashMap;

use shared::offsets::Field;

use crate::fields::Kind;
use crate::fields::spec;
use crate::solve::addresses::Addresses;
use crate::solve::sample::Expected;

/// Fields under test. What is judged are events: per field, in the same order, the bytes that were
/// read; none if the way to its struct led nowhere.
#[derive(Debug)]
pub struct Check {
    fields: Vec<Field>,
    addresses: HashMap<Field, Addresses>,
    contradicted: BTreeSet<Field>,
}

impl Check {
    /// A check that has seen nothing.
    #[must_use]
    pub fn new(fields: Vec<Field>) -> Self {
        Self {
            fields,
            addresses: HashMap::new(),
            contradicted: BTreeSet::new(),
        }
    }

    /// Judges the events during a packet of a tracked flow: one of them must show all that is
    /// expected. Events of others are there at times; ours is the one that disagrees least, and if
    /// even that one disagrees, the offsets are wrong.
    pub fn tracked(&mut self, expected: &[(Field, Expected)], events: &[Vec<Vec<u8>>]) {
        let judged = events
            .iter()
            .map(|reads| (self.wrong(expected, reads), reads));
        let Some((wrong, reads)) = judged.min_by_key(|(wrong, _)| wrong.len()) else {
            return;
        };
        self.contradicted.extend(wrong);
        for (&field, read) in self.fields.iter().zip(reads) {
            let Some(Expected::Object { id, .. }) = lookup(expected, field) else {
                continue;
            };
            let addresses = self.addresses.entry(field).or_default();
            if !split(field, read).is_some_and(|(address, _)| addresses.agree(*id, address)) {
                self.contradicted.insert(field);
            }
        }
    }

    /// Judges the events during a packet that is not tracked: one of them must show that it belongs
    /// to no connection.
    pub fn untracked(&mut self, events: &[Vec<Vec<u8>>]) {
        let pointer = Field::SkBuffNfct;
        let Some(index) = self.fields.iter().position(|field| *field == pointer) else {
            return;
        };
        let is_free = |reads: &Vec<Vec<u8>>| {
            split(pointer, &reads[index]).is_some_and(|(address, _)| address == 0)
        };
        if !events.iter().any(is_free) {
            self.contradicted.insert(pointer);
        }
    }

    /// The fields that did not pass.
    #[must_use]
    pub fn contradicted(self) -> BTreeSet<Field> {
        self.contradicted
    }

    /// The fields of an event whose own bytes are not what they must be.
    fn wrong(&self, expected: &[(Field, Expected)], reads: &[Vec<u8>]) -> Vec<Field> {
        let is_wrong = |field: Field, read: &[u8]| match lookup(expected, field) {
            None => false,
            Some(Expected::Bytes { bytes, .. }) => bytes != read,
            Some(Expected::Object { tag, .. }) => {
                split(field, read).is_none_or(|(_, found)| found != *tag)
            }
        };
        let pairs = self.fields.iter().zip(reads);
        pairs
            .filter(|(field, read)| is_wrong(**field, read))
            .map(|(field, _)| *field)
            .collect()
    }
}

fn lookup(expected: &[(Field, Expected)], field: Field) -> Option<&Expected> {
    let entry = expected.iter().find(|(known, _)| *known == field);
    entry.map(|(_, expected)| expected)
}

/// A pointer as it was read: address and tag.
fn split(field: Field, bytes: &[u8]) -> Option<(u64, u64)> {
    let Kind::Pointer { tag_mask, .. } = spec(field).kind else {
        return None;
    };
    let word = u64::from_ne_bytes(bytes.try_into().ok()?);
    Some((word & !tag_mask, word & tag_mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: u32 = 0xabad_1dea;
    const CT: u64 = 0xffff_8880_0000_4000;

    fn expected(flow: u64) -> Vec<(Field, Expected)> {
        let mark = Expected::Bytes {
            bytes: MARK.to_ne_bytes().to_vec(),
            bits: 32,
        };
        let connection = Expected::Object { id: flow, tag: 2 };
        vec![(Field::NfConnMark, mark), (Field::SkBuffNfct, connection)]
    }

    fn event(nfct: u64, mark: u32) -> Vec<Vec<u8>> {
        vec![nfct.to_ne_bytes().to_vec(), mark.to_ne_bytes().to_vec()]
    }

    fn check() -> Check {
        Check::new(vec![Field::SkBuffNfct, Field::NfConnMark])
    }

    fn contradicted(flows: &[(u64, &[Vec<Vec<u8>>])]) -> Vec<Field> {
        let mut check = check();
        for (flow, events) in flows {
            check.tracked(&expected(*flow), events);
        }
        check.contradicted().into_iter().collect()
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
        let (nfct, mark) = (Field::SkBuffNfct, Field::NfConnMark);
        for (events, wrong) in [
            (vec![event(CT | 2, MARK + 1)], vec![mark]),
            (vec![event(CT | 3, MARK)], vec![nfct]),
            (vec![event(2, MARK)], vec![nfct]),
            (vec![vec![event(CT | 2, 0)[0].clone(), vec![]]], vec![mark]),
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
        assert_eq!(
            contradicted(&[(1, &here), (1, &there)]),
            [Field::SkBuffNfct]
        );
        assert_eq!(contradicted(&[(1, &here), (2, &here)]), [Field::SkBuffNfct]);
    }

    #[test]
    fn a_packet_without_a_connection_must_show_none() {
        for (events, wrong) in [
            (vec![event(0, 0)], 0),
            // IP_CT_UNTRACKED: a tag and no address.
            (vec![event(CT | 2, MARK), event(7, 0)], 0),
            (vec![event(CT | 2, MARK)], 1),
        ] {
            let mut check = check();
            check.untracked(&events);
            assert_eq!(check.contradicted().len(), wrong, "{events:?}");
        }
    }
}
