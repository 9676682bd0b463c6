//! Proof, at compile time, that C and Rust mean the same bytes: each struct that crosses the
//! border, field by field, and each constant. Nothing here runs.

use std::mem::offset_of;

use shared::record::wire::Loss;
use shared::record::wire::Record;
use shared::record::wire::family;
use shared::record::wire::kind;
use shared::record::wire::known;
use shared::record::wire::nat;

use super::skel::types;
use crate::table::wire::Flow4;
use crate::table::wire::Flow4Key;
use crate::table::wire::Flow6;
use crate::table::wire::Flow6Key;
use crate::table::wire::State;

macro_rules! same {
    ($c:path, $rust:ty: $($field:ident)*) => {
        const _: () = {
            assert!(size_of::<$c>() == size_of::<$rust>());
            $(assert!(offset_of!($c, $field) == offset_of!($rust, $field));)*
        };
    };
}

same!(types::sextant_record, Record:
    seq ts_mono_ns ct_id r#type family proto nat netns_ino status mark zone loss_where pad0 known
    orig_src orig_dst reply_src reply_dst orig_sport orig_dport reply_sport reply_dport
    start_ns packets bytes reserved);
same!(types::flow4_key, Flow4Key: netns_ino zone proto pad0 sport dport src dst);
same!(types::flow6_key, Flow6Key: netns_ino zone proto pad0 sport dport addrs);

macro_rules! same_state {
    ($c:path, $rust:ty: $($field:ident)*) => {
        const _: () = {
            assert!(size_of::<$c>() == size_of::<$rust>() && offset_of!($rust, state) == 0);
            $(assert!(offset_of!($c, $field) == offset_of!(State, $field));)*
        };
    };
}

same_state!(types::flow4, Flow4:
    ct ct_id first_seen_ns status mark reply_sport reply_dport nat flags known pad0);
same_state!(types::flow6, Flow6:
    ct ct_id first_seen_ns status mark reply_sport reply_dport nat flags known pad0);
const _: () = assert!(
    offset_of!(types::flow4, reply_src) == offset_of!(Flow4, reply_src)
        && offset_of!(types::flow4, reply_dst) == offset_of!(Flow4, reply_dst)
        && offset_of!(types::flow6, reply_addrs) == offset_of!(Flow6, reply_addrs)
);

macro_rules! equal {
    ($c:ident: $($name:ident = $rust:expr;)*) => {
        const _: () = { $(assert!(types::$c::$name.0 == $rust as u32);)* };
    };
}

equal!(sextant_record_type:
    SEXTANT_NEW = kind::NEW;
    SEXTANT_UPDATE = kind::UPDATE;
    SEXTANT_DESTROY = kind::DESTROY;
    SEXTANT_DUMP = kind::DUMP;
    SEXTANT_LOSS = kind::LOSS;
);
equal!(sextant_family:
    SEXTANT_IPV4 = family::IPV4;
    SEXTANT_IPV6 = family::IPV6;
);
equal!(sextant_nat:
    SEXTANT_SNAT = nat::SNAT;
    SEXTANT_DNAT = nat::DNAT;
);
equal!(sextant_known:
    SEXTANT_KNOWN_NETNS = known::NETNS;
    SEXTANT_KNOWN_STATUS = known::STATUS;
    SEXTANT_KNOWN_MARK = known::MARK;
    SEXTANT_KNOWN_ZONE = known::ZONE;
    SEXTANT_KNOWN_COUNTERS = known::COUNTERS;
    SEXTANT_KNOWN_START = known::START;
);
equal!(sextant_loss:
    SEXTANT_LOSS_RINGBUF_FULL = Loss::RingbufFull;
    SEXTANT_LOSS_TABLE_FULL = Loss::TableFull;
    SEXTANT_LOSS_READ_FAULT = Loss::ReadFault;
    SEXTANT_LOSS_UNKNOWN_FAMILY = Loss::UnknownFamily;
    SEXTANT_LOSS_NETLINK_OVERRUN = Loss::NetlinkOverrun;
    SEXTANT_LOSS_NETLINK_MALFORMED = Loss::NetlinkMalformed;
    SEXTANT_LOSS_DUMP_INTERRUPTED = Loss::DumpInterrupted;
    SEXTANT_LOSS_RING_OVERWRITTEN = Loss::RingOverwritten;
    SEXTANT_LOSS_KINDS = Loss::ALL.len() + 1;
);
