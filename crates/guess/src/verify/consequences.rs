//! Which other places cannot be trusted if some are refused. Pure.

use std::collections::BTreeSet;

use crate::fields::Event;
use crate::fields::Place;
use crate::proven::Proven;

/// These places, the pointers that they prove, and everything that is reached only through these.
pub fn consequences(proven: &Proven, mut refused: BTreeSet<Place>) -> BTreeSet<Place> {
    loop {
        let left = proven.iter().filter(|(place, _)| !refused.contains(place));
        let left: Proven = left.collect();
        let falls = |place: &Place| {
            let spec = place.spec();
            let paths = left.paths(spec.searched_at());
            spec.proof().iter().any(|proof| refused.contains(proof))
                // A listener alone proves nothing.
                || paths.iter().all(|path| path.event == Event::SockState)
        };
        let more: Vec<Place> = left.iter().map(|(place, _)| place).filter(falls).collect();
        if more.is_empty() {
            return refused;
        }
        refused.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use shared::offsets::Field;

    use super::*;
    use crate::fields::SPECS;

    fn all() -> Proven {
        SPECS
            .iter()
            .map(|spec| spec.place)
            .zip((0..).step_by(8))
            .collect()
    }

    fn check(refused: &[Field], falls: &[Place], stays: &[Field]) {
        let refused = refused.iter().copied().map(Place::Field).collect();
        let fallen = consequences(&all(), refused);
        for place in falls {
            assert!(fallen.contains(place), "{place}");
        }
        for field in stays {
            assert!(!fallen.contains(&Place::Field(*field)), "{field}");
        }
    }

    #[test]
    fn a_pointer_falls_with_its_proof_and_what_is_behind_with_the_pointer() {
        use Field::*;
        let fields =
            |fields: &[Field]| fields.iter().copied().map(Place::Field).collect::<Vec<_>>();
        check(
            &[SkBuffNetworkHeader],
            &fields(&[SkBuffHead, SkBuffTransportHeader, SkBuffMacHeader]),
            &[SkBuffSk, SkBuffNfct, SockNum],
        );
        check(
            &[NfConnTupleReply],
            &fields(&[SkBuffNfct, NfConnMark, NfConnCtNet]),
            &[NetNsInum, SockNet],
        );
        check(
            &[NetNsInum],
            &fields(&[NfConnCtNet, SockNet]),
            &[NfConnMark],
        );
        let beyond = [Place::SockSocket, Place::SocketIno, SocketSk.into()];
        check(&[SockNum], &beyond, &[SkBuffHead, Flowi4Saddr]);
        check(&[SockNum], &fields(&[SkBuffSk, SockDaddr]), &[NetNsInum]);
    }

    #[test]
    fn without_a_refusal_nothing_falls() {
        assert_eq!(consequences(&all(), BTreeSet::new()), BTreeSet::new());
    }
}
