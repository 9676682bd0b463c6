//! The numbers of `linux/netfilter/nfnetlink_conntrack.h` and of `nf_conntrack_common.h` that the
//! tools use, without their prefix. `libc` has none of them.

use crate::nfnetlink::NFNL_SUBSYS_CTNETLINK;
use crate::nfnetlink::message_type;

/// `IPCTNL_MSG_CT_NEW`.
pub const NEW: u16 = message_type(NFNL_SUBSYS_CTNETLINK, 0);
/// `IPCTNL_MSG_CT_GET`.
pub const GET: u16 = message_type(NFNL_SUBSYS_CTNETLINK, 1);
/// `IPCTNL_MSG_CT_DELETE`.
pub const DELETE: u16 = message_type(NFNL_SUBSYS_CTNETLINK, 2);
/// `IPCTNL_MSG_CT_GET_STATS`.
pub const GET_STATS: u16 = message_type(NFNL_SUBSYS_CTNETLINK, 5);

/// `enum ctattr_type`: the attributes of an entry.
#[expect(missing_docs, reason = "the kernel's names say it")]
pub mod cta {
    pub const TUPLE_ORIG: u16 = 1;
    pub const TUPLE_REPLY: u16 = 2;
    pub const STATUS: u16 = 3;
    pub const TIMEOUT: u16 = 7;
    pub const MARK: u16 = 8;
    pub const COUNTERS_ORIG: u16 = 9;
    pub const COUNTERS_REPLY: u16 = 10;
    pub const ID: u16 = 12;
    pub const ZONE: u16 = 18;
    pub const TIMESTAMP: u16 = 20;
}

/// Inside `cta::TUPLE_*`: `enum ctattr_tuple`, `ctattr_ip` and `ctattr_l4proto`.
#[expect(missing_docs, reason = "the kernel's names say it")]
pub mod cta_tuple {
    pub const IP: u16 = 1;
    pub const PROTO: u16 = 2;
    pub const ZONE: u16 = 3;

    pub const IP_V4_SRC: u16 = 1;
    pub const IP_V4_DST: u16 = 2;
    pub const IP_V6_SRC: u16 = 3;
    pub const IP_V6_DST: u16 = 4;

    pub const PROTO_NUM: u16 = 1;
    pub const PROTO_SRC_PORT: u16 = 2;
    pub const PROTO_DST_PORT: u16 = 3;
    pub const PROTO_ICMP_ID: u16 = 4;
    pub const PROTO_ICMP_TYPE: u16 = 5;
    pub const PROTO_ICMP_CODE: u16 = 6;
    pub const PROTO_ICMPV6_ID: u16 = 7;
    pub const PROTO_ICMPV6_TYPE: u16 = 8;
    pub const PROTO_ICMPV6_CODE: u16 = 9;
}

/// `CTA_COUNTERS_PACKETS`, inside `cta::COUNTERS_*`.
pub const CTA_COUNTERS_PACKETS: u16 = 1;
/// `CTA_COUNTERS_BYTES`, inside `cta::COUNTERS_*`.
pub const CTA_COUNTERS_BYTES: u16 = 2;
/// `CTA_TIMESTAMP_START`, inside `cta::TIMESTAMP`.
pub const CTA_TIMESTAMP_START: u16 = 1;
/// `CTA_STATS_GLOBAL_ENTRIES`, in the answer to [`GET_STATS`].
pub const CTA_STATS_GLOBAL_ENTRIES: u16 = 1;

/// Status bits (`enum ip_conntrack_status`) that a request can set. None can be cleared.
pub mod status {
    /// `IPS_SEEN_REPLY`.
    pub const SEEN_REPLY: u32 = 1 << 1;
    /// `IPS_ASSURED`.
    pub const ASSURED: u32 = 1 << 2;
    /// `IPS_FIXED_TIMEOUT`: packets no longer prolong the entry's timeout. From 6.1 on requests do
    /// not change it either; on 5.10 they do.
    pub const FIXED_TIMEOUT: u32 = 1 << 10;
}
