//! What is looked for: in which struct each field lies, how it is aligned, and what a pointer
//! leads to. The table from which solver, requests and cross-check take every kernel fact; no
//! offset stands here, and no order: what must be known first follows from it. [`place`] names them,
//! [`table`] has the entries.

mod place;
mod table;

pub use place::Place;
pub use table::SPECS;

use std::collections::BTreeSet;

use shared::offsets::Field;

/// What a hook shows.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub enum Event {
    /// A packet about to be transmitted.
    Packet,
    /// A TCP socket that changes its state.
    SockState,
    /// An IPv4 flow that a route is looked up for.
    Route4,
    /// An IPv6 flow that a route is looked up for.
    Route6,
}

impl Event {
    /// Every kind of event.
    pub const ALL: [Self; 4] = [Self::Packet, Self::SockState, Self::Route4, Self::Route6];

    /// The struct that the hook hands over.
    #[must_use]
    pub const fn shows(self) -> Struct {
        match self {
            Self::Packet => Struct::SkBuff,
            Self::SockState => Struct::Sock,
            Self::Route4 => Struct::Flowi4,
            Self::Route6 => Struct::Flowi6,
        }
    }
}

/// A kernel struct that fields are searched in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Struct {
    /// A packet.
    SkBuff,
    /// The buffer that holds a packet's bytes.
    Buffer,
    /// A connection.
    NfConn,
    /// A network namespace.
    Net,
    /// A socket as the protocols see it: `sock`, `inet_sock` and `tcp_sock` begin together.
    Sock,
    /// A socket as the file system sees it: `socket`, and the inode behind it.
    Socket,
    /// What an IPv4 route is looked up for.
    Flowi4,
    /// What an IPv6 route is looked up for.
    Flowi6,
}

impl Struct {
    /// How much of it is searched. Larger than the struct has ever been, with lock debugging and
    /// all, since a field beyond the window can only be reported as missing.
    #[must_use]
    pub const fn window_bytes(self) -> u32 {
        match self {
            Self::Flowi4 | Self::Flowi6 => 256,
            Self::SkBuff => 512,
            Self::Buffer | Self::NfConn => 1024,
            Self::Socket => 1280,
            Self::Sock => 4096,
            Self::Net => 7168,
        }
    }

    /// The pointers that lead to it.
    pub fn reached_by(self) -> impl Iterator<Item = &'static Spec> {
        SPECS
            .iter()
            .filter(move |spec| spec.leads_to() == Some(self))
    }

    /// Whether a hook hands it over.
    #[must_use]
    pub fn is_shown(self) -> bool {
        Event::ALL.iter().any(|event| event.shows() == self)
    }
}

/// A place that can be measured.
#[derive(Debug)]
pub struct Spec {
    /// Which.
    pub place: Place,
    /// The struct that it lies in.
    pub inside: Struct,
    /// Its natural alignment: no other offset is tried.
    pub align_bytes: u32,
    /// What it holds.
    pub content: Content,
    /// The experiment that brings it into all the states that tell it from its copies.
    pub experiment: Experiment,
}

/// What is done to show a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Experiment {
    /// Tracked connections with every kind of NAT.
    Connections,
    /// Sockets in many states, each of which sends a packet.
    Sockets,
    /// Sockets of either address family.
    Families,
    /// TCP connections whose round-trip times we decide.
    Streams,
    /// IPv4 route lookups.
    Lookups4,
    /// IPv6 route lookups.
    Lookups6,
}

/// What a place holds.
#[derive(Debug)]
pub enum Content {
    /// Bytes that an experiment determines.
    Value,
    /// The address of another struct. The address itself is unknown; known is which samples must
    /// share it, which must not, and what must be found behind it.
    Pointer {
        /// What it points to.
        to: Struct,
        /// Low bits that are no part of the address.
        tag_mask: u64,
        /// The places that prove it: all of them must be found behind it.
        proof: &'static [Place],
    },
    /// The address of the struct that led here.
    Back,
    /// Where in the buffer behind `of` a header begins. It is searched once for each candidate of
    /// `of`, since it is counted from there.
    Index {
        /// The pointer to the buffer.
        of: Place,
    },
}

impl Spec {
    /// What it leads to, if it is a pointer.
    #[must_use]
    pub const fn leads_to(&self) -> Option<Struct> {
        match self.content {
            Content::Pointer { to, .. } => Some(to),
            _ => None,
        }
    }

    /// The struct at the end of the way along which it is searched: its own, or the one that it
    /// counts in.
    #[must_use]
    pub fn searched_at(&self) -> Struct {
        match self.content {
            Content::Index { of } => of.spec().leads_to().unwrap_or(self.inside),
            _ => self.inside,
        }
    }

    /// Bits of it that are no address.
    #[must_use]
    pub const fn tag_mask(&self) -> u64 {
        match self.content {
            Content::Pointer { tag_mask, .. } => tag_mask,
            _ => 0,
        }
    }

    /// What must be found behind it.
    #[must_use]
    pub const fn proof(&self) -> &'static [Place] {
        match self.content {
            Content::Pointer { proof, .. } => proof,
            _ => &[],
        }
    }
}

/// The places that must be searched to prove these fields: themselves, the pointers that lead to
/// them, and what proves those pointers. Of several pointers to one struct those that are wanted
/// anyway, else the first.
#[must_use]
pub fn needed(fields: &[Field]) -> BTreeSet<Place> {
    let mut needed: BTreeSet<Place> = fields.iter().copied().map(Place::Field).collect();
    loop {
        let mut more: BTreeSet<Place> = needed
            .iter()
            .flat_map(|place| place.spec().proof())
            .copied()
            .collect();
        for spec in needed.iter().map(|place| place.spec()) {
            if let Content::Index { of } = spec.content {
                more.insert(of);
            }
            let mut pointers = spec.inside.reached_by().map(|pointer| pointer.place);
            // A socket is shown by a change of its state alone, which tells too little.
            let known = spec.inside.is_shown() && spec.inside != Struct::Sock
                || pointers.any(|place| needed.contains(&place));
            if !known {
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
    fn every_field_has_an_entry_and_every_struct_a_way_to_it() {
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
