//! What the `nf_conn` of a tracked UDP connection must hold while one of its packets is queued. Pure.

use std::fmt;
use std::time::Duration;

use shared::offsets::Field;
use shared::record::status;

use super::value::Ends;
use super::value::given;
use super::value::namespace;
use crate::solve::sample::Expectations;
use crate::solve::sample::Expected;

/// The NAT that a flow asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nat {
    /// Its destination is rewritten.
    pub dnat: bool,
    /// Its source is rewritten.
    pub snat: bool,
}

impl Nat {
    /// The four kinds of flow.
    pub const KINDS: [Self; 4] = [
        Self::new(false, false),
        Self::new(true, false),
        Self::new(false, true),
        Self::new(true, true),
    ];

    const fn new(dnat: bool, snat: bool) -> Self {
        Self { dnat, snat }
    }
}

/// What connections can be given in the namespace of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Connections get the zone that their packets name.
    pub zone: bool,
    /// Connections get the mark of their last packet.
    pub mark: bool,
    /// Connections get the NAT that they ask for; none if the kernel supports only one of DNAT and SNAT.
    pub nat: Option<bool>,
}

/// Everything that we know about a connection of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// A number that no other flow of this run has.
    pub id: u64,
    /// Inode number of its namespace; none if the kernel has no namespaces.
    pub netns: Option<u32>,
    /// What connections can be given there.
    pub can: Abilities,
    /// The NAT that it got.
    pub nat: Nat,
    /// The zone that its packets name.
    pub zone: u16,
    /// Its packets in the original direction as they are sent.
    pub orig: Ends,
    /// Its replies as they are sent.
    pub reply: Ends,
}

/// The position of a packet in its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Before any reply.
    First,
    /// The reply.
    Reply,
    /// In the original direction, after the reply.
    Later,
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match (self.nat.dnat, self.nat.snat) {
            (false, false) => "plain",
            (true, false) => "dnat",
            (false, true) => "snat",
            (true, true) => "dnat+snat",
        };
        write!(f, "{kind} {} to {}", self.orig.src, self.orig.dst)
    }
}

// `enum ip_conntrack_info`.
const IP_CT_ESTABLISHED: u64 = 0;
const IP_CT_NEW: u64 = 2;
const IP_CT_ESTABLISHED_REPLY: u64 = 3;

/// Two random addresses in 127.0.0.0/8 (24 bits each) and two random ports (15.9), rounded down.
const TUPLE_BITS: u32 = 76;
/// The mark is random in all its bits, or at least in those of a zone.
const MARK_BITS: u32 = 15;
/// The zone is random, but never 0.
const ZONE_BITS: u32 = 15;
/// Nothing in `status` is random. But an exact word of nine bits that follows the kind of NAT and the
/// replies of flows in random order is at least as improbable as a random byte.
const STATUS_BITS: u32 = 8;

/// What an `nf_conn` and the packet that points to it must hold.
struct Held {
    id: u64,
    netns: Option<u32>,
    ctinfo: u64,
    orig: Ends,
    reply: Ends,
    status: Option<u32>,
    mark: Option<u32>,
    zone: Option<u16>,
}

impl Held {
    fn expected(self) -> Expectations {
        let Self {
            id, ctinfo: tag, ..
        } = self;
        let mut all = vec![
            (Field::SkBuffNfct.into(), Expected::Object { id, tag }),
            given(Field::NfConnTupleOrig, &tuple(self.orig, 0), TUPLE_BITS),
            given(Field::NfConnTupleReply, &tuple(self.reply, 1), TUPLE_BITS),
        ];
        let netns = self.netns.into_iter();
        all.extend(netns.flat_map(|inum| namespace(Field::NfConnCtNet, inum)));
        let status = self.status.map(|bits| u64::from(bits).to_ne_bytes());
        all.extend(status.map(|bytes| given(Field::NfConnStatus, &bytes, STATUS_BITS)));
        let mark = self.mark.map(u32::to_ne_bytes);
        all.extend(mark.map(|bytes| given(Field::NfConnMark, &bytes, MARK_BITS)));
        let zone = self.zone.map(u16::to_ne_bytes);
        all.extend(zone.map(|bytes| given(Field::NfConnZone, &bytes, ZONE_BITS)));
        all
    }
}

/// What must be held while a packet of a flow is queued that gives its connection this mark.
pub fn expected(flow: &Facts, turn: Turn, mark: u32) -> Expectations {
    Held {
        id: flow.id,
        netns: flow.netns,
        ctinfo: match turn {
            Turn::First => IP_CT_NEW,
            Turn::Reply => IP_CT_ESTABLISHED_REPLY,
            Turn::Later => IP_CT_ESTABLISHED,
        },
        orig: flow.orig,
        reply: flow.reply,
        status: status_of(flow, turn),
        mark: flow.can.mark.then_some(mark),
        zone: flow.can.zone.then_some(flow.zone),
    }
    .expected()
}

/// What must be held while a packet in the original direction is queued, by a connection without NAT
/// whose status and mark the kernel itself reports: for namespaces whose rules are not ours.
pub fn reported(
    id: u64,
    netns: Option<u32>,
    orig: Ends,
    status: u32,
    mark: Option<u32>,
) -> Expectations {
    let is_new = status & status::SEEN_REPLY == 0;
    Held {
        id,
        netns,
        ctinfo: if is_new { IP_CT_NEW } else { IP_CT_ESTABLISHED },
        orig,
        reply: orig.back(),
        status: Some(status),
        mark,
        zone: None,
    }
    .expected()
}

/// When the connection expires, if a timeout of `ahead_s` seconds was set and the packet was sent between
/// these two moments.
pub fn deadline(ahead_s: u32, between: (Duration, Duration)) -> Expectations {
    let expected = Expected::Deadline { ahead_s, between };
    vec![(Field::NfConnTimeout.into(), expected)]
}

/// The whole word: a bit that is not named here is not set. `IPS_ASSURED` is not, because UDP gets it
/// two seconds after its first packet at the earliest (since 4.20).
fn status_of(flow: &Facts, turn: Turn) -> Option<u32> {
    // Where NAT is in force, connections without NAT are marked as done, too.
    let nat_done = flow.can.nat?;
    let bits = [
        (true, status::CONFIRMED),
        (turn != Turn::First, status::SEEN_REPLY),
        (nat_done, status::SRC_NAT_DONE | status::DST_NAT_DONE),
        (flow.nat.snat, status::SRC_NAT),
        (flow.nat.dnat, status::DST_NAT),
    ];
    Some(
        bits.iter()
            .map(|(is_set, bit)| u32::from(*is_set) * bit)
            .sum(),
    )
}

/// `struct nf_conntrack_tuple` of an IPv4 UDP packet: address (16 bytes), port, family, address,
/// port, protocol, direction. Addresses and ports are in network order, the family is not.
fn tuple(ends: Ends, direction: u8) -> [u8; 40] {
    let mut bytes = [0; 40];
    for (at, end) in [(0, ends.src), (20, ends.dst)] {
        bytes[at..at + 4].copy_from_slice(&end.ip().octets());
        bytes[at + 16..at + 18].copy_from_slice(&end.port().to_be_bytes());
    }
    bytes[18..20].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
    bytes[38] = libc::IPPROTO_UDP as u8;
    bytes[39] = direction;
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::SocketAddrV4;

    use super::*;
    use crate::fields::Place;

    fn flow(nat: Nat, can_nat: Option<bool>) -> Facts {
        let end = |last, port| SocketAddrV4::new([127, 1, 2, last].into(), port);
        let ends = |src, dst| Ends { src, dst };
        Facts {
            id: 1,
            netns: Some(0xf000_0001),
            can: Abilities {
                zone: true,
                mark: true,
                nat: can_nat,
            },
            nat,
            zone: 7,
            orig: ends(end(3, 0x1234), end(4, 53)),
            reply: ends(end(5, 5353), end(6, 0x4321)),
        }
    }

    #[test]
    fn status_is_what_conntrack_tools_show_of_such_flows() {
        let [plain, dnat, snat, both] = Nat::KINDS;
        for (nat, can, turn, bits) in [
            (plain, Some(false), Turn::First, 0x8),
            (plain, Some(false), Turn::Later, 0xa),
            (plain, Some(true), Turn::First, 0x188),
            (dnat, Some(true), Turn::First, 0x1a8),
            (snat, Some(true), Turn::Reply, 0x19a),
            (both, Some(true), Turn::Later, 0x1ba),
        ] {
            assert_eq!(
                status_of(&flow(nat, can), turn),
                Some(bits),
                "{nat:?} {turn:?}"
            );
        }
        assert_eq!(status_of(&flow(plain, None), Turn::First), None);
    }

    #[test]
    fn a_tuple_lies_as_in_memory() {
        let bytes = tuple(flow(Nat::KINDS[0], None).orig, 1);
        let mut expected = [0; 40];
        expected[..4].copy_from_slice(&[127, 1, 2, 3]);
        expected[16..18].copy_from_slice(&[0x12, 0x34]);
        expected[18..20].copy_from_slice(&2_u16.to_ne_bytes());
        expected[20..24].copy_from_slice(&[127, 1, 2, 4]);
        expected[36..40].copy_from_slice(&[0, 53, 17, 1]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn what_the_namespace_cannot_do_is_not_expected() {
        let mut facts = flow(Nat::KINDS[0], None);
        facts.can.zone = false;
        facts.can.mark = false;
        let places: BTreeSet<Place> = expected(&facts, Turn::First, 9)
            .into_iter()
            .map(|(place, _)| place)
            .collect();
        let absent = [
            Field::NfConnZone,
            Field::NfConnMark,
            Field::NfConnStatus,
            Field::NfConnTimeout,
        ];
        for field in Field::CONNTRACK {
            let is_there = places.contains(&(*field).into());
            assert_eq!(is_there, !absent.contains(field), "{field}");
        }
    }
}
