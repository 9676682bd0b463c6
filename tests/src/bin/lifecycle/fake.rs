//! Fake kernel objects: where this kernel is said to keep their fields, and a connection as the bytes of an
//! `nf_conn`. Pure.

use shared::record::status;
use shared::record::wire::family;

/// Offsets of fields, as `guesser` would have found them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    pub skb_nfct: usize,
    pub timeout: Option<usize>,
    pub zone: Option<usize>,
    pub orig: usize,
    pub reply: usize,
    pub status: usize,
    /// Of `nf_conn.ct_net` and of `net.ns.inum`.
    pub netns: Option<(usize, usize)>,
    pub mark: Option<usize>,
}

impl Offsets {
    /// As on 6.12.
    pub const USUAL: Self = Self {
        skb_nfct: 104,
        timeout: Some(8),
        zone: Some(12),
        orig: 32,
        reply: 88,
        status: 128,
        netns: Some((136, 144)),
        mark: Some(168),
    };
    /// As on no kernel: the order is another one, the window is as long as it may be and does not begin where a
    /// field does, and the offsets are multiples of no more than they must be.
    pub const ODD: Self = Self {
        skb_nfct: 8,
        timeout: Some(188),
        zone: Some(198),
        orig: 132,
        reply: 28,
        status: 72,
        netns: Some((80, 4)),
        mark: Some(68),
    };
    /// A kernel without zones, marks and namespaces, whose timeout is not proven.
    pub const BARE: Self = Self {
        timeout: None,
        zone: None,
        netns: None,
        mark: None,
        ..Self::USUAL
    };
    /// Only the timeout is missing.
    pub const TIMELESS: Self = Self {
        timeout: None,
        ..Self::USUAL
    };

    /// The part of `nf_conn` that is copied: its first byte, a multiple of 8, and the one after its last.
    pub fn window(&self) -> (usize, usize) {
        let fields = [
            (Some(self.orig), 40),
            (Some(self.reply), 40),
            (Some(self.status), 8),
            (self.netns.map(|(at, _)| at), 8),
            (self.mark, 4),
            (self.zone, 2),
            (self.timeout, 4),
        ];
        let present = || {
            fields
                .iter()
                .filter_map(|&(at, bytes)| at.map(|at| (at, at + bytes)))
        };
        let first = present().map(|(from, _)| from).min().unwrap_or(0);
        let end = present().map(|(_, to)| to).max().unwrap_or(0);
        (first / 8 * 8, end)
    }
}

/// One direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// IPv4: the first four bytes.
    pub src: [u8; 16],
    pub dst: [u8; 16],
    pub sport: u16,
    pub dport: u16,
}

impl Tuple {
    /// The way back without NAT.
    pub fn mirrored(self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            sport: self.dport,
            dport: self.sport,
        }
    }
}

/// Which fake namespace a connection is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Net {
    First,
    Second,
    /// Where no memory is.
    Unreadable,
}

/// What an `nf_conn` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conn {
    pub l3num: u16,
    pub proto: u8,
    pub orig: Tuple,
    pub reply: Tuple,
    pub status: u32,
    pub mark: u32,
    pub zone: u16,
    pub net: Net,
    /// Jiffies from now; negative if it has expired.
    pub expires_in: i32,
}

/// An IPv4 address in a tuple.
pub const fn v4(a: u8, b: u8, c: u8, d: u8) -> [u8; 16] {
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// An IPv6 address of a test network, in a tuple.
pub const fn v6(last: u8) -> [u8; 16] {
    [0xfd, 0x77, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, last]
}

pub const UDP: u8 = 17;
pub const ICMP: u8 = 1;
pub const ICMPV6: u8 = 58;

impl Conn {
    /// A datagram from 10.0.0.1, confirmed and without an answer; `port` tells it from others.
    pub fn udp(port: u16) -> Self {
        let orig = Tuple {
            src: v4(10, 0, 0, 1),
            dst: v4(10, 9, 9, 9),
            sport: port,
            dport: 53,
        };
        Self {
            l3num: family::IPV4.into(),
            proto: UDP,
            orig,
            reply: orig.mirrored(),
            status: status::CONFIRMED,
            mark: 0xa1b2_c3d4,
            zone: 7,
            net: Net::First,
            expires_in: 1_000_000,
        }
    }

    /// The same over IPv6.
    pub fn udp6(port: u16) -> Self {
        let orig = Tuple {
            src: v6(1),
            dst: v6(2),
            sport: port,
            dport: 53,
        };
        Self {
            l3num: family::IPV6.into(),
            orig,
            reply: orig.mirrored(),
            ..Self::udp(port)
        }
    }

    /// An echo request with this id.
    pub fn ping(id: u16) -> Self {
        let mut conn = Self::udp(id);
        conn.proto = ICMP;
        conn.orig.dport = 0x0800;
        conn.reply = conn.orig.mirrored();
        (conn.reply.sport, conn.reply.dport) = (id, 0);
        conn
    }

    /// The same with the destination translated to 10.2.2.`backend`:5353.
    pub fn dnat(self, backend: u8) -> Self {
        let reply = Tuple {
            src: if self.l3num == u16::from(family::IPV6) {
                v6(backend)
            } else {
                v4(10, 2, 2, backend)
            },
            sport: 5353,
            ..self.reply
        };
        Self { reply, ..self }
    }

    /// The same with these bits of the status, too.
    pub fn with(self, bits: u32) -> Self {
        Self {
            status: self.status | bits,
            ..self
        }
    }

    /// Writes it over an `nf_conn`; the bytes between the fields are 0xee.
    pub fn write(&self, offsets: &Offsets, net: u64, expires: u32, memory: &mut [u8]) {
        let mut put = |at: Option<usize>, bytes: &[u8]| {
            if let Some(at) = at {
                memory[at..at + bytes.len()].copy_from_slice(bytes);
            }
        };
        put(Some(0), &[0xee; 256]);
        put(Some(offsets.orig), &self.tuple(&self.orig, 0));
        put(Some(offsets.reply), &self.tuple(&self.reply, 1));
        put(Some(offsets.status), &u64::from(self.status).to_ne_bytes());
        put(offsets.netns.map(|(at, _)| at), &net.to_ne_bytes());
        put(offsets.mark, &self.mark.to_ne_bytes());
        put(offsets.zone, &self.zone.to_ne_bytes());
        put(offsets.timeout, &expires.to_ne_bytes());
    }

    /// A `struct nf_conntrack_tuple`.
    fn tuple(&self, tuple: &Tuple, direction: u8) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..16].copy_from_slice(&tuple.src);
        bytes[16..18].copy_from_slice(&tuple.sport.to_be_bytes());
        bytes[18..20].copy_from_slice(&self.l3num.to_ne_bytes());
        bytes[20..36].copy_from_slice(&tuple.dst);
        bytes[36..38].copy_from_slice(&tuple.dport.to_be_bytes());
        bytes[38] = self.proto;
        bytes[39] = direction;
        bytes
    }
}
