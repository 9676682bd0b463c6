//! Names of the struct fields whose place Sextant measures: the kernel's own paths, once.
//! The names are a contract (they stand in every output); their order here is not.

use std::fmt;
use std::str::FromStr;

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $path:literal, $size:literal;)*) => {
        /// A field of a kernel struct.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field { $($(#[$doc])* $variant,)* }

        impl Field {
            /// Every field that is known.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The kernel's own path: `struct.member.member`.
            #[must_use]
            pub const fn path(self) -> &'static str {
                match self { $(Self::$variant => $path,)* }
            }

            /// Bytes that a reader of this field copies.
            #[must_use]
            pub const fn size_bytes(self) -> u32 {
                match self { $(Self::$variant => $size,)* }
            }
        }
    };
}

fields! {
    /// `struct nf_conn *` with the packet's `enum ip_conntrack_info` in its low three bits.
    SkBuffNfct = "sk_buff._nfct", 8;
    /// `struct nf_conntrack_tuple` of the original direction.
    NfConnTupleOrig = "nf_conn.tuplehash[0].tuple", 40;
    /// `struct nf_conntrack_tuple` of the reply direction.
    NfConnTupleReply = "nf_conn.tuplehash[1].tuple", 40;
    /// `unsigned long` of `IPS_*` bits.
    NfConnStatus = "nf_conn.status", 8;
    /// `struct net *`.
    NfConnCtNet = "nf_conn.ct_net", 8;
    /// `u32`, the connection mark.
    NfConnMark = "nf_conn.mark", 4;
    /// `struct nf_conntrack_zone`, whose first member is the `u16` id.
    NfConnZone = "nf_conn.zone", 2;
    /// `unsigned int`, the namespace's inode number as `/proc/<pid>/ns/net` shows it.
    NetNsInum = "net.ns.inum", 4;
}

impl Field {
    /// The fields that `conntrack` needs: `--fields conntrack`.
    pub const CONNTRACK: &'static [Self] = &[
        Self::SkBuffNfct,
        Self::NfConnTupleOrig,
        Self::NfConnTupleReply,
        Self::NfConnStatus,
        Self::NfConnCtNet,
        Self::NfConnMark,
        Self::NfConnZone,
        Self::NetNsInum,
    ];
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.path())
    }
}

impl FromStr for Field {
    type Err = UnknownField;

    fn from_str(path: &str) -> Result<Self, UnknownField> {
        Self::ALL
            .iter()
            .copied()
            .find(|field| field.path() == path)
            .ok_or(UnknownField)
    }
}

/// A path that names no field of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown field")]
pub struct UnknownField;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_parses_back_and_is_unique() {
        for field in Field::ALL {
            assert_eq!(field.path().parse(), Ok(*field));
        }
        assert_eq!("nf_conn.nope".parse::<Field>(), Err(UnknownField));
    }
}
