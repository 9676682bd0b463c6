//! Proven offsets, whatever their source, and the paths over proven pointers. Pure.

use std::collections::BTreeMap;

use crate::fields::Place;
use crate::fields::Struct;
use crate::path::AccessPath;
use crate::path::paths_to;

/// Proven offsets of fields, and of the pointers that lead to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proven(BTreeMap<Place, u32>);

impl Proven {
    /// The offset of a place, if it is proven.
    #[must_use]
    pub fn offset(&self, place: Place) -> Option<u32> {
        self.0.get(&place).copied()
    }

    /// The paths to a struct over proven pointers.
    #[must_use]
    pub fn paths(&self, end: Struct) -> Vec<AccessPath> {
        paths_to(end, &|place| self.offset(place))
    }

    /// Each place and its offset.
    pub fn iter(&self) -> impl Iterator<Item = (Place, u32)> {
        self.0.iter().map(|(place, offset)| (*place, *offset))
    }
}

impl FromIterator<(Place, u32)> for Proven {
    fn from_iter<T: IntoIterator<Item = (Place, u32)>>(offsets: T) -> Self {
        Self(offsets.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use shared::offsets::Field;

    use std::slice;

    use super::*;
    use crate::fields::Event;

    #[test]
    fn a_struct_is_reached_over_every_proven_pointer() {
        let nfct = Place::Field(Field::SkBuffNfct);
        let ct_net = Place::Field(Field::NfConnCtNet);
        let sk = Place::Field(Field::SkBuffSk);
        let proven: Proven = [(nfct, 104), (ct_net, 136), (sk, 24)].into_iter().collect();
        let packet = AccessPath::to_shown(Event::Packet);
        assert_eq!(proven.paths(Struct::SkBuff), slice::from_ref(&packet));
        assert_eq!(
            proven.paths(Struct::Net),
            [packet.then(nfct, 104).then(ct_net, 136)]
        );
        assert_eq!(
            proven.paths(Struct::Sock),
            [AccessPath::to_shown(Event::SockState), packet.then(sk, 24)]
        );
        assert!(proven.paths(Struct::Buffer).is_empty());
    }
}
