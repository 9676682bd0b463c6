//! The fixed 192-byte record of the ring: Rust's view of `bpf/include/sextant_record.h`.
//! The header is the truth; `crates/conntrack` compares both at compile time, field by field.

use std::net::IpAddr;
use std::net::Ipv6Addr;

use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// Bytes of a record and of the ring slot that holds it.
pub const RECORD_BYTES: usize = 192;
/// 64-bit words of a record.
pub const RECORD_WORDS: usize = RECORD_BYTES / 8;

/// A record, field for field `struct sextant_record`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[expect(
    missing_docs,
    reason = "each field is documented in the C header it mirrors"
)]
pub struct Record {
    pub seq: u64,
    pub ts_mono_ns: u64,
    pub ct_id: u64,
    pub r#type: u8,
    pub family: u8,
    pub proto: u8,
    pub nat: u8,
    pub netns_ino: u32,
    pub status: u32,
    pub mark: u32,
    pub zone: u16,
    pub loss_where: u8,
    pub pad0: u8,
    pub known: u32,
    pub orig_src: [u8; 16],
    pub orig_dst: [u8; 16],
    pub reply_src: [u8; 16],
    pub reply_dst: [u8; 16],
    pub orig_sport: u16,
    pub orig_dport: u16,
    pub reply_sport: u16,
    pub reply_dport: u16,
    pub start_ns: u64,
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
    pub reserved: [u64; 4],
}

const _: () = assert!(size_of::<Record>() == RECORD_BYTES);

macro_rules! constants {
    ($($(#[$doc:meta])* $module:ident: $int:ty { $($(#[$item:meta])* $name:ident = $value:expr;)* })*) => {
        $($(#[$doc])* pub mod $module { $($(#[$item])* pub const $name: $int = $value;)* })*
    };
}

constants! {
    /// `enum sextant_record_type`.
    kind: u8 {
        /// First sight of a confirmed connection.
        NEW = 1;
        /// A change that was asked for.
        UPDATE = 2;
        /// The kernel dropped it from its table.
        DESTROY = 3;
        /// It was there before the program started.
        DUMP = 4;
        /// Events were lost.
        LOSS = 5;
    }
    /// `enum sextant_family`.
    family: u8 {
        /// `AF_INET`.
        IPV4 = 2;
        /// `AF_INET6`.
        IPV6 = 10;
    }
    /// `enum sextant_nat`.
    nat: u8 {
        /// The source was rewritten.
        SNAT = 1;
        /// The destination was rewritten.
        DNAT = 2;
    }
    /// `enum sextant_known`.
    known: u32 {
        /// `netns_ino` is told.
        NETNS = 1;
        /// `status` is told.
        STATUS = 2;
        /// `mark` is told.
        MARK = 4;
        /// `zone` is told.
        ZONE = 8;
        /// `packets` and `bytes` are told.
        COUNTERS = 16;
        /// `start_ns` is told.
        START = 32;
    }
}

/// `enum sextant_loss`: where events can be lost. The number is also the counter's index in the
/// ring's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Loss {
    /// The BPF ring buffer had no room.
    RingbufFull = 1,
    /// The NAT table had no room.
    TableFull = 2,
    /// Kernel memory could not be read.
    ReadFault = 3,
    /// The tuple is neither IPv4 nor IPv6.
    UnknownFamily = 4,
    /// `ENOBUFS` on netlink: each count is an overrun, that is one event or more.
    NetlinkOverrun = 5,
    /// A netlink message that could not be parsed.
    NetlinkMalformed = 6,
    /// The start-up load changed under the reader and may be incomplete.
    DumpInterrupted = 7,
    /// A reader of the ring fell behind by this many records.
    RingOverwritten = 8,
}

impl Loss {
    /// Every place, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::RingbufFull,
        Self::TableFull,
        Self::ReadFault,
        Self::UnknownFamily,
        Self::NetlinkOverrun,
        Self::NetlinkMalformed,
        Self::DumpInterrupted,
        Self::RingOverwritten,
    ];

    /// The name that stands in `where` and in summaries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingbufFull => "ringbuf_full",
            Self::TableFull => "table_full",
            Self::ReadFault => "read_fault",
            Self::UnknownFamily => "unknown_family",
            Self::NetlinkOverrun => "netlink_overrun",
            Self::NetlinkMalformed => "netlink_malformed",
            Self::DumpInterrupted => "dump_interrupted",
            Self::RingOverwritten => "ring_overwritten",
        }
    }

    /// The place with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|place| *place as u8 == number)
    }
}

impl Record {
    /// A record of zeros.
    pub const BLANK: Self = Self {
        seq: 0,
        ts_mono_ns: 0,
        ct_id: 0,
        r#type: 0,
        family: 0,
        proto: 0,
        nat: 0,
        netns_ino: 0,
        status: 0,
        mark: 0,
        zone: 0,
        loss_where: 0,
        pad0: 0,
        known: 0,
        orig_src: [0; 16],
        orig_dst: [0; 16],
        reply_src: [0; 16],
        reply_dst: [0; 16],
        orig_sport: 0,
        orig_dport: 0,
        reply_sport: 0,
        reply_dport: 0,
        start_ns: 0,
        packets: [0; 2],
        bytes: [0; 2],
        reserved: [0; 4],
    };

    /// A record that says: `count` events were lost at `place`.
    #[must_use]
    pub fn loss(ts_mono_ns: u64, place: Loss, count: u64) -> Self {
        Self {
            ts_mono_ns,
            r#type: kind::LOSS,
            loss_where: place as u8,
            packets: [count, 0],
            ..Self::BLANK
        }
    }

    /// Does `known` vouch for all of `bits`?
    #[must_use]
    pub const fn knows(&self, bits: u32) -> bool {
        self.known & bits == bits
    }

    /// Bits of [`nat`]: what the two tuples, compared, say was rewritten.
    ///
    /// Without NAT the reply is the mirror image of the original direction. Comparing tells more
    /// than `IPS_*_NAT`, which also stands on flows that a rule left as they were.
    #[must_use]
    pub fn nat_from_tuples(&self) -> u8 {
        // ICMP has no ports: its id and type stand in their place and differ by nature.
        let is_icmp = matches!(
            i32::from(self.proto),
            libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6
        );
        let snat =
            self.orig_src != self.reply_dst || (!is_icmp && self.orig_sport != self.reply_dport);
        let dnat =
            self.orig_dst != self.reply_src || (!is_icmp && self.orig_dport != self.reply_sport);
        (u8::from(snat) * nat::SNAT) | (u8::from(dnat) * nat::DNAT)
    }
}

/// The address in a 16-byte field: `::ffff:a.b.c.d` comes back as IPv4 in an IPv4 record only.
#[must_use]
pub fn address(record_family: u8, bytes: &[u8; 16]) -> IpAddr {
    let v6 = Ipv6Addr::from(*bytes);
    match v6.to_ipv4_mapped() {
        Some(v4) if record_family == family::IPV4 => IpAddr::V4(v4),
        _ => IpAddr::V6(v6),
    }
}

/// An address as a record holds it.
#[must_use]
pub fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
