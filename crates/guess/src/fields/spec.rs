//! What is known of one place: the columns of the table.

use super::place::Place;
use super::structs::Struct;

/// A place that can be measured.
#[derive(Debug)]
pub struct Spec {
    /// Its name.
    pub place: Place,
    /// The struct that contains it.
    pub inside: Struct,
    /// Its natural alignment; only multiples of it are tried.
    pub align_bytes: u32,
    /// What it holds.
    pub content: Content,
    /// The experiment that brings it into every state in which it differs from its copies.
    pub experiment: Experiment,
}

/// The experiment that shows a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Experiment {
    /// Tracked connections with every kind of NAT.
    Connections,
    /// Sockets in many states, each of which sends a packet.
    Sockets,
    /// Sockets of either address family.
    Families,
    /// TCP connections whose round-trip times we control.
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
    /// The address of another struct. The address itself is unknown, but we know which samples must
    /// share it, which must not, and what must be found behind it.
    Pointer {
        /// What it points to.
        to: Struct,
        /// Low bits that are not part of the address.
        tag_mask: u64,
        /// The places that prove it: all of them must be found behind it.
        proof: &'static [Place],
    },
    /// The address of the struct that led here.
    Back,
    /// Where a header begins in the buffer behind `of`. It is searched once for each candidate of
    /// `of`, because it counts from there.
    Index {
        /// The pointer to the buffer.
        of: Place,
    },
}

impl Spec {
    /// The struct that it leads to, if it is a pointer.
    #[must_use]
    pub const fn leads_to(&self) -> Option<Struct> {
        match self.content {
            Content::Pointer { to, .. } => Some(to),
            _ => None,
        }
    }

    /// Its bits that are not part of an address.
    #[must_use]
    pub const fn tag_mask(&self) -> u64 {
        match self.content {
            Content::Pointer { tag_mask, .. } => tag_mask,
            _ => 0,
        }
    }

    /// The places that must be found behind it.
    #[must_use]
    pub const fn proof(&self) -> &'static [Place] {
        match self.content {
            Content::Pointer { proof, .. } => proof,
            _ => &[],
        }
    }
}
