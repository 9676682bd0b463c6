//! The record as people and scripts read it: the NDJSON line, whose keys are a contract.
//! What is unknown is absent. Converts from and to the wire record; prints nothing.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::Deserialize;
use serde::Serialize;

use super::proto;
use super::status;
use super::wire;
use super::wire::Loss;
use super::wire::Record;
use super::wire::kind;
use super::wire::known;
use super::wire::nat;

/// What happened to the connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// A confirmed connection was seen for the first time.
    New,
    /// It changed; reported only on request.
    Update,
    /// The kernel removed it from its table.
    Destroy,
    /// It was there before the program started.
    Dump,
    /// Events were lost; it has no connection.
    #[default]
    Loss,
}

/// Address family of both tuples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// One direction of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tuple {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Source port; absent for protocols without ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sport: Option<u16>,
    /// Destination port; absent for protocols without ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dport: Option<u16>,
    /// What ICMP has instead of ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp: Option<Icmp>,
}

/// The parts of an ICMP header that distinguish connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names of the protocol's own header fields")]
pub struct Icmp {
    pub r#type: u8,
    pub code: u8,
    pub id: u16,
}

/// A rewritten end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nat {
    /// The source was rewritten.
    Snat,
    /// The destination was rewritten.
    Dnat,
}

/// A record: one line of NDJSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// What happened.
    pub r#type: Type,
    /// When, in nanoseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ts_ns: Option<u64>,
    /// The same for all records of one connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// What saw it: `tracepoint`, `kprobe`, `netlink`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Cow<'static, str>>,
    /// Inode of the network namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<u32>,
    /// Address family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// Protocol by name, or by number where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proto: Option<Cow<'static, str>>,
    /// The original direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orig: Option<Tuple>,
    /// The reply direction; its source is the real destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Tuple>,
    /// Which ends were rewritten; empty when none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat: Option<Vec<Nat>>,
    /// Names of the status bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Vec<Cow<'static, str>>>,
    /// Conntrack zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<u16>,
    /// Conntrack mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<u32>,
    /// Packets of the original direction and of the reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets: Option<[u64; 2]>,
    /// Bytes likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<[u64; 2]>,
    /// Time of the first packet, in nanoseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_ns: Option<u64>,
    /// In a loss record: where.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub loss_where: Option<Cow<'static, str>>,
    /// In a loss record: how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl Flow {
    /// The wire record as a flow.
    ///
    /// `None` if the type, the family or the place of a loss has no meaning in this version.
    #[must_use]
    pub fn from_record(record: &Record, source: &'static str) -> Option<Self> {
        let knows = |bit| record.knows(bit).then_some(());
        let ts_ns = knows(known::TIME).map(|()| record.ts_ns);
        let r#type = match record.r#type {
            kind::NEW => Type::New,
            kind::UPDATE => Type::Update,
            kind::DESTROY => Type::Destroy,
            kind::DUMP => Type::Dump,
            kind::LOSS => {
                let place = Loss::from_number(record.loss_where)?;
                return Some(Self::loss(ts_ns, place, record.packets[0]));
            }
            _ => return None,
        };
        let family = match record.family {
            wire::family::IPV4 => Family::Ipv4,
            wire::family::IPV6 => Family::Ipv6,
            _ => return None,
        };
        let tuple = |src, dst, ports| Tuple::from_wire(record, src, dst, ports);
        let orig_ports = [record.orig_sport, record.orig_dport];
        let reply_ports = [record.reply_sport, record.reply_dport];
        let ends = [(nat::SNAT, Nat::Snat), (nat::DNAT, Nat::Dnat)].into_iter();
        let rewritten = ends.filter(|(bit, _)| record.nat & bit != 0);
        let bits = status::names(record.status).map(Cow::Borrowed);
        Some(Self {
            r#type,
            ts_ns,
            id: Some(record.ct_id),
            source: Some(Cow::Borrowed(source)),
            netns: knows(known::NETNS).map(|()| record.netns_ino),
            family: Some(family),
            proto: Some(proto::name(record.proto)),
            orig: Some(tuple(&record.orig_src, &record.orig_dst, orig_ports)),
            reply: Some(tuple(&record.reply_src, &record.reply_dst, reply_ports)),
            nat: Some(rewritten.map(|(_, end)| end).collect()),
            status: knows(known::STATUS).map(|()| bits.collect()),
            zone: knows(known::ZONE).map(|()| record.zone),
            mark: knows(known::MARK).map(|()| record.mark),
            packets: knows(known::COUNTERS).map(|()| record.packets),
            bytes: knows(known::COUNTERS).map(|()| record.bytes),
            start_ns: knows(known::START).map(|()| record.start_ns),
            ..Self::default()
        })
    }

    /// A loss record: `count` events were lost at `place`.
    #[must_use]
    pub fn loss(ts_ns: Option<u64>, place: Loss, count: u64) -> Self {
        Self {
            ts_ns,
            loss_where: Some(Cow::Borrowed(place.name())),
            count: Some(count),
            ..Self::default()
        }
    }
}

impl Tuple {
    fn from_wire(record: &Record, src: &[u8; 16], dst: &[u8; 16], ports: [u16; 2]) -> Self {
        let [sport, dport] = ports;
        let is_icmp = proto::is_icmp(record.proto);
        let [r#type, code] = dport.to_be_bytes();
        // A protocol without ports that is not ICMP (GRE without keys, ESP) has zero in both.
        let has_ports = !is_icmp && (sport != 0 || dport != 0);
        Self {
            src: wire::address(record.family, src),
            dst: wire::address(record.family, dst),
            sport: has_ports.then_some(sport),
            dport: has_ports.then_some(dport),
            icmp: is_icmp.then_some(Icmp {
                r#type,
                code,
                id: sport,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn v4(last: u8) -> [u8; 16] {
        wire::address_bytes(Ipv4Addr::new(10, 0, 0, last).into())
    }

    fn dnat_record() -> Record {
        let mut record = Record {
            ts_ns: 105,
            ct_id: 7,
            r#type: kind::NEW,
            family: wire::family::IPV4,
            proto: proto::TCP,
            status: 0x1a8,
            known: known::STATUS | known::TIME,
            orig_src: v4(1),
            orig_dst: v4(2),
            reply_src: v4(3),
            reply_dst: v4(1),
            orig_sport: 40_000,
            orig_dport: 80,
            reply_sport: 8080,
            reply_dport: 40_000,
            ..Record::BLANK
        };
        record.nat = record.nat_from_tuples();
        record
    }

    #[test]
    fn what_is_not_known_is_absent() {
        let flow = Flow::from_record(&dnat_record(), "tracepoint").unwrap();
        let json = serde_json::to_value(&flow).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "new", "ts_ns": 105, "id": 7, "source": "tracepoint",
                "family": "ipv4", "proto": "tcp",
                "orig": {"src": "10.0.0.1", "dst": "10.0.0.2", "sport": 40000, "dport": 80},
                "reply": {"src": "10.0.0.3", "dst": "10.0.0.1", "sport": 8080, "dport": 40000},
                "nat": ["dnat"],
                "status": ["confirmed", "dst_nat", "src_nat_done", "dst_nat_done"],
            })
        );
        let back: Flow = serde_json::from_value(json).unwrap();
        assert_eq!(back, flow);
    }

    #[test]
    fn icmp_has_type_code_and_id_for_ports() {
        let record = Record {
            proto: proto::ICMP,
            orig_sport: 99,
            orig_dport: 8 << 8,
            reply_sport: 99,
            reply_dport: 0,
            reply_src: v4(2),
            ..dnat_record()
        };
        let flow = Flow::from_record(&record, "netlink").unwrap();
        let orig = flow.orig.unwrap();
        assert_eq!(
            (orig.sport, orig.icmp),
            (
                None,
                Some(Icmp {
                    r#type: 8,
                    code: 0,
                    id: 99
                })
            )
        );
        assert_eq!(record.nat_from_tuples(), 0);
    }

    #[test]
    fn icmp_whose_id_a_clash_rewrote_is_source_nat() {
        for (proto, request, reply) in [(proto::ICMP, 8, 0), (proto::ICMPV6, 128, 129)] {
            let record = Record {
                proto,
                orig_sport: 99,
                orig_dport: request << 8,
                reply_sport: 99,
                reply_dport: reply << 8,
                reply_src: v4(2),
                ..dnat_record()
            };
            assert_eq!(record.nat_from_tuples(), 0);
            let rewritten = Record {
                reply_sport: 100,
                ..record
            };
            assert_eq!(rewritten.nat_from_tuples(), nat::SNAT);
        }
    }

    #[test]
    fn a_time_that_is_not_known_is_absent() {
        let record = Record {
            known: known::STATUS,
            ..dnat_record()
        };
        let flow = Flow::from_record(&record, "tracepoint").unwrap();
        assert_eq!(flow.ts_ns, None);
        let json = serde_json::to_value(&flow).unwrap();
        assert_eq!(json.get("ts_ns"), None);
        assert_eq!(serde_json::from_value::<Flow>(json).unwrap(), flow);
    }

    #[test]
    fn the_start_is_there_where_the_kernel_keeps_it() {
        let record = Record {
            start_ns: 123,
            ..dnat_record()
        };
        let start = |record| Flow::from_record(record, "netlink").unwrap().start_ns;
        assert_eq!(start(&record), None);
        let known = record.known | known::START;
        assert_eq!(start(&Record { known, ..record }), Some(123));
    }

    #[test]
    fn loss_names_its_place() {
        let record = Record {
            ts_ns: 1,
            known: known::TIME,
            ..Record::loss(1, Loss::RingbufFull, 42)
        };
        let flow = Flow::from_record(&record, "tracepoint").unwrap();
        let json = serde_json::to_string(&flow).unwrap();
        assert_eq!(
            json,
            r#"{"type":"loss","ts_ns":1,"where":"ringbuf_full","count":42}"#
        );
    }

    #[test]
    fn a_record_of_a_later_version_is_not_guessed_at() {
        let record = Record {
            r#type: 77,
            ..dnat_record()
        };
        assert_eq!(Flow::from_record(&record, "tracepoint"), None);
    }
}
