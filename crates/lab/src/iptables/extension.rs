//! The matches and targets of rules (`struct xt_entry_match` and `xt_entry_target`, and their data in
//! `linux/netfilter/xt_*.h`). Pure; numbers are in host order.

use std::net::SocketAddrV4;

use zerocopy::FromZeros as _;
use zerocopy::Immutable;
use zerocopy::IntoBytes;

/// `XT_ALIGN`: every part of an entry starts where a `u64` may.
pub(super) const ALIGN: usize = align_of::<u64>();
/// `XT_EXTENSION_MAXNAMELEN`, the closing NUL included.
const NAME_BYTES: usize = 29;
/// The verdict of a standard target.
const ACCEPT: i32 = -libc::NF_ACCEPT - 1;
/// `XT_CT_ZONE_DIR_ORIG | XT_CT_ZONE_MARK`, both of 4.3.
const ZONE_OF_ORIGINAL_FROM_MARK: u16 = 1 << 2 | 1 << 4;
/// `NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED`.
const ADDRESS_AND_PORT: u32 = 1 << 0 | 1 << 1;

/// Start of both structures; `size` counts the data behind it.
#[derive(Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
struct Header {
    size: u16,
    name: [u8; NAME_BYTES],
    revision: u8,
}

/// `struct xt_mark_mtinfo1`.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Mark {
    mark: u32,
    mask: u32,
    invert: u8,
    padding: [u8; 3],
}

/// `struct xt_connmark_tginfo1`.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct ConnMark {
    ctmark: u32,
    ctmask: u32,
    nfmask: u32,
    mode: u8,
    padding: [u8; 3],
}

/// `enum` of `xt_connmark.h`.
const XT_CONNMARK_SET: u8 = 0;
const XT_CONNMARK_SAVE: u8 = 1;

/// `struct xt_ct_target_info_v1`.
#[derive(zerocopy::FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Ct {
    flags: u16,
    zone: u16,
    ct_events: u32,
    exp_events: u32,
    helper: [u8; 16],
    timeout: [u8; 32],
    padding: [u8; 4],
    ct: u64,
}

/// `struct nf_nat_ipv4_multi_range_compat` of one range; addresses and ports in network order.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct NatRange {
    rangesize: u32,
    flags: u32,
    min_ip: [u8; 4],
    max_ip: [u8; 4],
    min: [u8; 2],
    max: [u8; 2],
}

/// `sizeof(struct xt_conntrack_mtinfo1)`.
const CONNTRACK_BYTES: usize = 152;

/// A match or a target, as it stands in an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extension {
    bytes: Vec<u8>,
}

impl Extension {
    fn new(name: &str, revision: u8, data: &[u8]) -> Self {
        let mut header = Header {
            size: 0,
            name: [0; NAME_BYTES],
            revision,
        };
        header.name[..name.len()].copy_from_slice(name.as_bytes());
        let len = (size_of::<Header>() + data.len()).next_multiple_of(ALIGN);
        header.size = u16::try_from(len).expect("no extension here has more than 200 bytes");
        let mut bytes = [header.as_bytes(), data].concat();
        bytes.resize(len, 0);
        Self { bytes }
    }

    /// Matches every packet, and makes the kernel track connections as long as the rule exists.
    pub(super) fn any_connection() -> Self {
        Self::new("conntrack", 1, &[0; CONNTRACK_BYTES])
    }

    /// Matches packets of which these bits of the mark have this value.
    pub(super) fn mark_is(mark: u32, mask: u32) -> Self {
        Self::mark(mark, mask, false)
    }

    /// Matches packets that have any of these bits of the mark set.
    pub(super) fn mark_has(mask: u32) -> Self {
        Self::mark(0, mask, true)
    }

    fn mark(mark: u32, mask: u32, invert: bool) -> Self {
        let info = Mark {
            mark,
            mask,
            invert: invert.into(),
            padding: [0; 3],
        };
        Self::new("mark", 1, info.as_bytes())
    }

    /// Ends the chain: the packet passes.
    pub(super) fn accept() -> Self {
        Self::new("", 0, ACCEPT.as_bytes())
    }

    /// The last entry of every table; no packet reaches it.
    pub(super) fn error() -> Self {
        let mut name = [0; 30];
        name[..5].copy_from_slice(b"ERROR");
        Self::new("ERROR", 0, &name)
    }

    /// Puts the connection into the zone that the low 16 bits of the packet's mark name, in its
    /// original direction. In the raw table only.
    pub(super) fn zone_from_mark() -> Self {
        let mut info = Ct::new_zeroed();
        info.flags = ZONE_OF_ORIGINAL_FROM_MARK;
        // Older revisions of this target refuse these flags.
        Self::new("CT", 2, info.as_bytes())
    }

    /// Gives the connection the packet's mark.
    pub(super) fn save_mark() -> Self {
        Self::connmark(XT_CONNMARK_SAVE, 0, u32::MAX)
    }

    /// Inverts these bits of the connection's mark.
    pub(super) fn invert_mark(bits: u32) -> Self {
        Self::connmark(XT_CONNMARK_SET, bits, 0)
    }

    /// `ctmask` are the bits of the old mark that are cleared first.
    fn connmark(mode: u8, ctmark: u32, ctmask: u32) -> Self {
        let info = ConnMark {
            ctmark,
            ctmask,
            nfmask: u32::MAX,
            mode,
            padding: [0; 3],
        };
        Self::new("CONNMARK", 1, info.as_bytes())
    }

    /// Rewrites the connection's destination. In the nat table, prerouting and output.
    pub(super) fn dnat(to: SocketAddrV4) -> Self {
        Self::nat("DNAT", to)
    }

    /// Rewrites the connection's source. In the nat table, postrouting and input.
    pub(super) fn snat(to: SocketAddrV4) -> Self {
        Self::nat("SNAT", to)
    }

    fn nat(name: &str, to: SocketAddrV4) -> Self {
        let range = NatRange {
            rangesize: 1,
            flags: ADDRESS_AND_PORT,
            min_ip: to.ip().octets(),
            max_ip: to.ip().octets(),
            min: to.port().to_be_bytes(),
            max: to.port().to_be_bytes(),
        };
        Self::new(name, 0, range.as_bytes())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
