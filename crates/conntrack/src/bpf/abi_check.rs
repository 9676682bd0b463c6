//! Compares C and Rust at compile time: each struct that crosses the border, field by field, and
//! each constant. Nothing here runs.

use std::mem::offset_of;

use shared::record::wire::Loss;
use shared::record::wire::Record;
use shared::record::wire::family;
use shared::record::wire::kind;
use shared::record::wire::known;
use shared::record::wire::nat;

use super::skel::types;
use crate::flow_entry::WireEntry;
use crate::flow_entry::WireKey;
use crate::layout::WINDOW_MAX_BYTES;

macro_rules! same_fields {
    ($c:ident, $rust:ty: $($field:ident)*) => {
        const _: () = { $(assert!(offset_of!(types::$c, $field) == offset_of!($rust, $field));)* };
    };
    ($c:ident $($more:ident)+, $rust:ty: $($field:ident)*) => {
        same_fields!($c, $rust: $($field)*);
        same_fields!($($more)+, $rust: $($field)*);
    };
}

same_fields!(sextant_record, Record:
    seq ts_mono_ns ct_id r#type family proto nat netns_ino status mark zone loss_where pad0 known
    orig_src orig_dst reply_src reply_dst orig_sport orig_dport reply_sport reply_dport
    start_ns packets bytes ts_ns reserved);
same_fields!(flow4_key flow6_key, WireKey: netns_ino zone proto pad0 sport dport addrs);
same_fields!(flow4 flow6, WireEntry:
    ct ct_id first_seen_ns status mark reply_sport reply_dport nat flags known pad0 reply_addrs);
// The IPv4 structs are the first part of the IPv6 ones: 8 bytes of addresses, not 32.
const _: () = assert!(
    size_of::<types::sextant_record>() == size_of::<Record>()
        && size_of::<types::flow6_key>() == size_of::<WireKey>()
        && size_of::<types::flow4_key>() == size_of::<WireKey>() - 24
        && size_of::<types::flow6>() == size_of::<WireEntry>()
        && size_of::<types::flow4>() == size_of::<WireEntry>() - 24
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
    SEXTANT_KNOWN_TIME = known::TIME;
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
    SEXTANT_LOSS_TABLE_REFUSED = Loss::TableRefused;
    SEXTANT_LOSS_PROBE_MISSED = Loss::ProbeMissed;
    SEXTANT_LOSS_TUPLE_BUSY = Loss::TupleBusy;
    SEXTANT_LOSS_KINDS = Loss::ALL.len() + 1;
);
equal!(window_size: WINDOW_MAX = WINDOW_MAX_BYTES;);
