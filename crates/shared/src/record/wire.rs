//! The fixed 192-byte record of the ring: Rust's view of `bpf/include/sextant_record.h`.
//! The header is the truth; `crates/conntrack` compares both at compile time, field by field.

use std::net::IpAddr;
use std::net::Ipv6Addr;

use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

use super::proto;
use crate::numbered::numbered;

/// Bytes of a record and of the ring slot that holds it.
pub const RECORD_BYTES: usize = 192;

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
    pub ts_ns: u64,
    pub reserved: [u64; 3],
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
        /// A confirmed connection was seen for the first time.
        NEW = 1;
        /// It changed; reported only on request.
        UPDATE = 2;
        /// The kernel removed it from its table.
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
        /// `netns_ino` is known.
        NETNS = 1;
        /// `status` is known.
        STATUS = 2;
        /// `mark` is known.
        MARK = 4;
        /// `zone` is known.
        ZONE = 8;
        /// `packets` and `bytes` are known.
        COUNTERS = 16;
        /// `start_ns` is known.
        START = 32;
        /// `ts_ns` is known.
        TIME = 64;
    }
}

numbered! {
    /// `enum sextant_loss`: where events can be lost. The number is also the counter's index in the
    /// ring's header.
    pub enum Loss: u8 {
        /// The BPF ring buffer had no room.
        RingbufFull = 1, "ringbuf_full";
        /// The NAT table had no room.
        TableFull = 2, "table_full";
        /// Kernel memory could not be read.
        ReadFault = 3, "read_fault";
        /// The tuple is neither IPv4 nor IPv6.
        UnknownFamily = 4, "unknown_family";
        /// `ENOBUFS` on netlink: each count is an overrun, that is one event or more.
        NetlinkOverrun = 5, "netlink_overrun";
        /// A netlink message that could not be parsed.
        NetlinkMalformed = 6, "netlink_malformed";
        /// The table changed during the start-up load, which may be incomplete.
        DumpInterrupted = 7, "dump_interrupted";
        /// A reader of the ring fell behind by this many records.
        RingOverwritten = 8, "ring_overwritten";
        /// The NAT table had room but refused an entry.
        TableRefused = 9, "table_refused";
        /// The kernel skipped a probe, or ran only one of the two that belong to a call.
        ProbeMissed = 10, "probe_missed";
        /// A connection began while the previous one of its tuple was being ended.
        TupleBusy = 11, "tuple_busy";
    }
}

impl Record {
    /// A record of zeros.
    pub const BLANK: Self = zerocopy::transmute!([0_u8; RECORD_BYTES]);

    /// A record of `count` events lost at `place`.
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

    /// Are all fields of these bits of [`known`] known?
    #[must_use]
    pub const fn knows(&self, bits: u32) -> bool {
        self.known & bits == bits
    }

    /// Bits of [`nat`]: which ends differ between the two tuples.
    ///
    /// Without NAT the reply is the mirror image of the original direction. `IPS_*_NAT` is less exact:
    /// it is also set on connections whose addresses a rule left as they were.
    #[must_use]
    pub fn nat_from_tuples(&self) -> u8 {
        // ICMP has its id in the place of the source port, the same in both directions. Its type and
        // code, in the place of the destination port, differ without NAT, too.
        let (source, destination) = if proto::is_icmp(self.proto) {
            (self.orig_sport != self.reply_sport, false)
        } else {
            let source = self.orig_sport != self.reply_dport;
            (source, self.orig_dport != self.reply_sport)
        };
        let snat = self.orig_src != self.reply_dst || source;
        let dnat = self.orig_dst != self.reply_src || destination;
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
