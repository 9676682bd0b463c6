//! A tracked UDP connection: what its `nf_conn` must hold while a packet of it is queued. Pure.

use std::fmt;
use std::time::Duration;

use shared::offsets::Field;

use super::Ends;
use super::given;
use super::inum;
use super::object;
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

/// What the namespace of a flow can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Connections get the zone that their packets name.
    pub zone: bool,
    /// Connections get the mark of their last packet.
    pub mark: bool,
    /// Connections are rewritten as they ask; none if the kernel can do only one of both halves.
    pub nat: Option<bool>,
}

/// All that we did to one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// A number that no other flow of this run has.
    pub id: u64,
    /// Inode number of its namespace; none if the kernel has no namespaces.
    pub netns: Option<u32>,
    /// What that namespace can do.
    pub can: Abilities,
    /// The rewriting that it got.
    pub nat: Nat,
    /// The zone that its packets name.
    pub zone: u16,
    /// Its packets as they are sent.
    pub orig: Ends,
    /// The answers as they are sent.
    pub reply: Ends,
}

/// A packet's place in its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Before any reply.
    First,
    /// An answer.
    Reply,
    /// In the first direction, after a reply.
    Later,
}

/// One packet of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Its place.
    pub turn: Turn,
    /// The mark that its connection gets from it.
    pub mark: u32,
}

/// A connection as the kernel itself tells it: for namespaces whose rules are not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// A number that no other flow of this run has.
    pub id: u64,
    /// Inode number of its namespace; none if the kernel has no namespaces.
    pub netns: Option<u32>,
    /// Its packets; the answers are theirs turned round.
    pub orig: Ends,
    /// Its status, the same before and after the packet.
    pub status: u32,
    /// Its mark, if it is one that we gave it.
    pub mark: Option<u32>,
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

// `enum ip_conntrack_status` (linux/netfilter/nf_conntrack_common.h).
const IPS_SEEN_REPLY: u64 = 1 << 1;
const IPS_CONFIRMED: u64 = 1 << 3;
const IPS_SRC_NAT: u64 = 1 << 4;
const IPS_DST_NAT: u64 = 1 << 5;
const IPS_SRC_NAT_DONE: u64 = 1 << 7;
const IPS_DST_NAT_DONE: u64 = 1 << 8;
// `enum ip_conntrack_info`.
const IP_CT_ESTABLISHED: u64 = 0;
const IP_CT_NEW: u64 = 2;
const IP_CT_ESTABLISHED_REPLY: u64 = 3;

/// Two random addresses in 127.0.0.0/8 (24 bits each) and two random ports (15.9), rounded down.
const TUPLE_BITS: u32 = 76;
/// The number is random in all its bits, or in those of a zone at least.
const MARK_BITS: u32 = 15;
/// Random, but never 0.
const ZONE_BITS: u32 = 15;
/// Nothing in `status` is random. But an exact word of nine bits, which follows the kind of NAT and
/// the replies of flows in random order, is at least as improbable as a random byte.
const STATUS_BITS: u32 = 8;
/// What the fields must hold while a packet of a flow is queued for transmission.
#[must_use]
pub fn expected(flow: &Facts, packet: Packet) -> Expectations {
    let tracked = Expected::Object {
        id: flow.id,
        tag: ctinfo(packet.turn),
    };
    let mut all = vec![
        (Field::SkBuffNfct.into(), tracked),
        given(Field::NfConnTupleOrig, &tuple(flow.orig, 0), TUPLE_BITS),
        given(Field::NfConnTupleReply, &tuple(flow.reply, 1), TUPLE_BITS),
    ];
    if let Some(netns) = flow.netns {
        all.push((Field::NfConnCtNet.into(), object(netns.into())));
        all.push(inum(netns));
    }
    if let Some(status) = status(flow, packet.turn) {
        all.push(given(
            Field::NfConnStatus,
            &status.to_ne_bytes(),
            STATUS_BITS,
        ));
    }
    if flow.can.mark {
        all.push(given(
            Field::NfConnMark,
            &packet.mark.to_ne_bytes(),
            MARK_BITS,
        ));
    }
    if flow.can.zone {
        all.push(given(
            Field::NfConnZone,
            &flow.zone.to_ne_bytes(),
            ZONE_BITS,
        ));
    }
    all
}

/// What the fields must hold while a packet of the original direction is queued.
#[must_use]
pub fn told(flow: &Reported) -> Expectations {
    let status = u64::from(flow.status);
    let tag = if status & IPS_SEEN_REPLY == 0 {
        IP_CT_NEW
    } else {
        IP_CT_ESTABLISHED
    };
    let tracked = Expected::Object { id: flow.id, tag };
    let (orig, reply) = (tuple(flow.orig, 0), tuple(flow.orig.back(), 1));
    let mut all = vec![
        (Field::SkBuffNfct.into(), tracked),
        given(Field::NfConnTupleOrig, &orig, TUPLE_BITS),
        given(Field::NfConnTupleReply, &reply, TUPLE_BITS),
        given(Field::NfConnStatus, &status.to_ne_bytes(), STATUS_BITS),
    ];
    all.extend(
        flow.mark
            .map(|mark| given(Field::NfConnMark, &mark.to_ne_bytes(), MARK_BITS)),
    );
    if let Some(netns) = flow.netns {
        all.push((Field::NfConnCtNet.into(), object(netns.into())));
        all.push(inum(netns));
    }
    all
}

/// When the connection expires, if the timeout was set before the packet was sent between two
/// moments.
#[must_use]
pub fn deadline(ahead_s: u32, between: (Duration, Duration)) -> Expectations {
    let expected = Expected::Deadline { ahead_s, between };
    vec![(Field::NfConnTimeout.into(), expected)]
}

fn ctinfo(turn: Turn) -> u64 {
    match turn {
        Turn::First => IP_CT_NEW,
        Turn::Reply => IP_CT_ESTABLISHED_REPLY,
        Turn::Later => IP_CT_ESTABLISHED,
    }
}

/// The whole word: a bit that is not named here is not set. `IPS_ASSURED` is not among them: UDP
/// gets it two seconds after its first packet at the earliest (since 4.20).
fn status(flow: &Facts, turn: Turn) -> Option<u64> {
    let mut status = IPS_CONFIRMED;
    if turn != Turn::First {
        status |= IPS_SEEN_REPLY;
    }
    // Where NAT is in force, connections that need none are marked as done, too.
    if flow.can.nat? {
        status |= IPS_SRC_NAT_DONE | IPS_DST_NAT_DONE;
    }
    if flow.nat.snat {
        status |= IPS_SRC_NAT;
    }
    if flow.nat.dnat {
        status |= IPS_DST_NAT;
    }
    Some(status)
}

/// `struct nf_conntrack_tuple` of an IPv4 UDP packet: address (16 bytes), port, family, address,
/// port, protocol, direction. Addresses and ports are in network order, the family is not.
fn tuple(ends: Ends, direction: u8) -> [u8; 40] {
    const AF_INET: u16 = 2;
    const IPPROTO_UDP: u8 = 17;
    let mut bytes = [0; 40];
    for (at, end) in [(0, ends.src), (20, ends.dst)] {
        bytes[at..at + 4].copy_from_slice(&end.ip().octets());
        bytes[at + 16..at + 18].copy_from_slice(&end.port().to_be_bytes());
    }
    bytes[18..20].copy_from_slice(&AF_INET.to_ne_bytes());
    bytes[38] = IPPROTO_UDP;
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
                status(&flow(nat, can), turn),
                Some(bits),
                "{nat:?} {turn:?}"
            );
        }
        assert_eq!(status(&flow(plain, None), Turn::First), None);
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
        let packet = Packet {
            turn: Turn::First,
            mark: 9,
        };
        let mut facts = flow(Nat::KINDS[0], None);
        facts.can.zone = false;
        facts.can.mark = false;
        let places: BTreeSet<Place> = expected(&facts, packet)
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
