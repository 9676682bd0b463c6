//! How the places of the table depend on each other: which pointers lead to a struct, and what must
//! be searched to prove a field.

use std::collections::BTreeSet;

use shared::offsets::Field;

use super::place::Place;
use super::spec::Content;
use super::spec::Spec;
use super::structs::Struct;
use super::table::SPECS;

impl Place {
    /// Its row of the table.
    #[must_use]
    pub fn spec(self) -> &'static Spec {
        let row = SPECS.iter().find(|spec| spec.place == self);
        row.expect("a test walks through every place")
    }
}

impl Struct {
    /// The pointers that lead to it.
    pub fn reached_by(self) -> impl Iterator<Item = &'static Spec> {
        let leads_here = move |spec: &&Spec| spec.leads_to() == Some(self);
        SPECS.iter().filter(leads_here)
    }
}

impl Spec {
    /// The struct in which it is searched: its own, or the buffer that it counts in.
    #[must_use]
    pub fn searched_at(&self) -> Struct {
        match self.content {
            Content::Index { of } => of.spec().leads_to().unwrap_or(self.inside),
            _ => self.inside,
        }
    }
}

/// The places that must be searched to prove these fields: the fields, the pointers that lead to
/// them, and what proves those pointers. If several pointers lead to a struct, those that are needed
/// anyway suffice, else the first is added.
#[must_use]
pub fn needed(fields: &[Field]) -> BTreeSet<Place> {
    let mut needed: BTreeSet<Place> = fields.iter().copied().map(Place::Field).collect();
    loop {
        let mut more = BTreeSet::new();
        for spec in needed.iter().map(|place| place.spec()) {
            more.extend(spec.proof());
            if let Content::Index { of } = spec.content {
                more.insert(of);
            }
            // The hook that shows a socket sees only listeners, which prove too little.
            let is_shown = spec.inside.is_shown() && spec.inside != Struct::Sock;
            let mut pointers = spec.inside.reached_by().map(|pointer| pointer.place);
            if !is_shown && !pointers.any(|place| needed.contains(&place)) {
                let first = spec.inside.reached_by().next();
                more.extend(first.map(|pointer| pointer.place));
            }
        }
        let before = needed.len();
        needed.append(&mut more);
        if needed.len() == before {
            return needed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_an_entry_and_every_struct_a_path_to_it() {
        for field in Field::ALL {
            let spec = Place::Field(*field).spec();
            assert!(field.size_bytes() % spec.align_bytes == 0 || spec.align_bytes == 2);
            let reached = spec.inside.reached_by().next().is_some();
            assert!(reached || spec.inside.is_shown(), "{field}");
        }
        for spec in SPECS {
            assert_eq!(Place::of_path(spec.place.path()), Some(spec.place));
        }
    }

    #[test]
    fn what_proves_a_pointer_lies_behind_it() {
        for entry in SPECS {
            if let Some(to) = entry.leads_to() {
                assert!(!entry.proof().is_empty());
                let behind = |place: &Place| place.spec().searched_at() == to;
                assert!(entry.proof().iter().all(behind));
            }
        }
    }

    #[test]
    fn nothing_is_searched_that_nobody_needs() {
        let conntrack = needed(Field::CONNTRACK);
        let asked: BTreeSet<Place> = Field::CONNTRACK.iter().copied().map(Place::Field).collect();
        assert_eq!(conntrack, asked);
        let flow = needed(&[Field::Flowi4Daddr]);
        assert_eq!(flow, [Place::Field(Field::Flowi4Daddr)].into());
        let inum = needed(&[Field::NetNsInum]);
        assert!(inum.contains(&Place::Field(Field::SkBuffNfct)));
        assert!(!inum.contains(&Place::Field(Field::SockNet)));
        let sk = needed(&[Field::SocketSk]);
        for place in [
            Place::SockSocket,
            Place::SocketIno,
            Place::Field(Field::SkBuffSk),
        ] {
            assert!(sk.contains(&place), "{place}");
        }
    }
}
