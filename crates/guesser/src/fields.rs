//! What is looked for: in which struct each field lies, how it is aligned, and what a pointer
//! leads to. The table from which solver, requests and cross-check take every kernel fact; no
//! offset stands here.

use shared::offsets::Field;

/// A kernel struct that fields are searched in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Struct {
    /// A packet: what the tracepoint hands over.
    SkBuff,
    /// A connection.
    NfConn,
    /// A network namespace.
    Net,
}

impl Struct {
    /// How much of it is searched. Larger than the struct has ever been, with lock debugging and
    /// all, since a field beyond the window can only be reported as missing.
    #[must_use]
    pub const fn window_bytes(self) -> u32 {
        match self {
            Self::SkBuff => 512,
            Self::NfConn => 1024,
            Self::Net => 7168,
        }
    }

    /// The pointer through which it is reached; none if the tracepoint hands it over.
    #[must_use]
    pub fn reached_by(self) -> Option<&'static Spec> {
        SPECS.iter().find(|spec| match spec.kind {
            Kind::Pointer { to, .. } => to == self,
            Kind::Value => false,
        })
    }
}

/// One field that can be measured.
#[derive(Debug)]
pub struct Spec {
    /// Its name.
    pub field: Field,
    /// The struct that it lies in.
    pub inside: Struct,
    /// Its natural alignment: no other offset is tried.
    pub align_bytes: u32,
    /// What it holds.
    pub kind: Kind,
}

/// What a field holds.
#[derive(Debug)]
pub enum Kind {
    /// Bytes that an experiment determines.
    Value,
    /// The address of another struct. The address itself is unknown; known is which samples must
    /// share it, which must not, and what must be found behind it.
    Pointer {
        /// What it points to.
        to: Struct,
        /// Low bits that are no part of the address.
        tag_mask: u64,
        /// The fields behind it that prove it: all of them must be found there.
        proof: &'static [Field],
    },
}

/// Every field that can be measured, a pointer before what lies behind it.
pub const SPECS: &[Spec] = &[
    Spec {
        field: Field::SkBuffNfct,
        inside: Struct::SkBuff,
        align_bytes: 8,
        kind: Kind::Pointer {
            to: Struct::NfConn,
            // NFCT_INFOMASK: `enum ip_conntrack_info` of this packet.
            tag_mask: 7,
            proof: &[Field::NfConnTupleOrig, Field::NfConnTupleReply],
        },
    },
    Spec {
        field: Field::NfConnTupleOrig,
        inside: Struct::NfConn,
        align_bytes: 4,
        kind: Kind::Value,
    },
    Spec {
        field: Field::NfConnTupleReply,
        inside: Struct::NfConn,
        align_bytes: 4,
        kind: Kind::Value,
    },
    Spec {
        field: Field::NfConnStatus,
        inside: Struct::NfConn,
        align_bytes: 8,
        kind: Kind::Value,
    },
    Spec {
        field: Field::NfConnMark,
        inside: Struct::NfConn,
        align_bytes: 4,
        kind: Kind::Value,
    },
    Spec {
        field: Field::NfConnZone,
        inside: Struct::NfConn,
        align_bytes: 2,
        kind: Kind::Value,
    },
    Spec {
        field: Field::NfConnCtNet,
        inside: Struct::NfConn,
        align_bytes: 8,
        kind: Kind::Pointer {
            to: Struct::Net,
            tag_mask: 0,
            proof: &[Field::NetNsInum],
        },
    },
    Spec {
        field: Field::NetNsInum,
        inside: Struct::Net,
        align_bytes: 4,
        kind: Kind::Value,
    },
];

/// The entry of a field.
#[must_use]
pub fn spec(field: Field) -> &'static Spec {
    SPECS
        .iter()
        .find(|spec| spec.field == field)
        .expect("a test walks through every field")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_an_entry_and_every_struct_a_way_to_it() {
        for field in Field::ALL {
            let spec = spec(*field);
            assert!(field.size_bytes() % spec.align_bytes == 0 || spec.align_bytes == 2);
            let pointer = spec.inside.reached_by();
            assert_eq!(pointer.is_none(), spec.inside == Struct::SkBuff, "{field}");
        }
    }

    #[test]
    fn what_proves_a_pointer_lies_behind_it() {
        for entry in SPECS {
            if let Kind::Pointer { to, proof, .. } = &entry.kind {
                assert!(!proof.is_empty());
                assert!(proof.iter().all(|field| spec(*field).inside == *to));
            }
        }
    }
}
