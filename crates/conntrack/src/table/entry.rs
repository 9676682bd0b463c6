//! Entries of the NAT table as values: made from a record, turned back into one. The one place
//! in Rust that makes a key; `put_key` in `bpf/include/flows.h` is its twin. Pure.

use std::net::IpAddr;

use shared::record::wire;
use shared::record::wire::Record;
use shared::record::wire::family;
use shared::record::wire::known;
use zerocopy::FromBytes;
use zerocopy::IntoBytes;

use super::wire::Flow4;
use super::wire::Flow4Key;
use super::wire::Flow6;
use super::wire::Flow6Key;
use super::wire::State;

/// The optional fields that an entry has.
const IN_TABLE: u32 = known::NETNS | known::STATUS | known::MARK | known::ZONE;

/// Where an entry lies: original tuple, zone and namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// In the IPv4 table.
    V4(Flow4Key),
    /// In the IPv6 table.
    V6(Flow6Key),
}

/// What an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Of an IPv4 connection.
    V4(Flow4),
    /// Of an IPv6 connection.
    V6(Flow6),
}

impl Key {
    /// The key of the connection that a record is about. What the record does not know is zero
    /// in the key, as it is for the programs that fill the table.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let netns_ino = told(record, known::NETNS, record.netns_ino);
        let zone = told(record, known::ZONE, record.zone);
        let sport = record.orig_sport.to_be_bytes();
        let dport = record.orig_dport.to_be_bytes();
        match (v4(record, &record.orig_src), v4(record, &record.orig_dst)) {
            (Some(src), Some(dst)) => Self::V4(Flow4Key {
                netns_ino,
                zone,
                proto: record.proto,
                pad0: 0,
                sport,
                dport,
                src,
                dst,
            }),
            _ => Self::V6(Flow6Key {
                netns_ino,
                zone,
                proto: record.proto,
                pad0: 0,
                sport,
                dport,
                addrs: [record.orig_src, record.orig_dst],
            }),
        }
    }

    /// The key as it lies in its map.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::V4(key) => key.as_bytes(),
            Self::V6(key) => key.as_bytes(),
        }
    }

    /// A key that was read from the map of this family; `None` if the length is another one.
    #[must_use]
    pub fn parse(is_v6: bool, bytes: &[u8]) -> Option<Self> {
        Some(if is_v6 {
            Self::V6(Flow6Key::read_from_bytes(bytes).ok()?)
        } else {
            Self::V4(Flow4Key::read_from_bytes(bytes).ok()?)
        })
    }

    /// Does it lie in the IPv6 table?
    #[must_use]
    pub fn is_v6(&self) -> bool {
        matches!(self, Self::V6(_))
    }

    /// The same connection in any namespace and zone: to compare keys by tuple alone.
    #[must_use]
    pub fn tuple_only(mut self) -> Self {
        let (netns_ino, zone) = match &mut self {
            Self::V4(key) => (&mut key.netns_ino, &mut key.zone),
            Self::V6(key) => (&mut key.netns_ino, &mut key.zone),
        };
        *netns_ino = 0;
        *zone = 0;
        self
    }

    /// Inode of the network namespace, 0 if the table does not tell namespaces apart.
    #[must_use]
    pub fn netns_ino(&self) -> u32 {
        match self {
            Self::V4(key) => key.netns_ino,
            Self::V6(key) => key.netns_ino,
        }
    }
}

impl Entry {
    /// An entry for a connection that a dump or an event told of, whose `nf_conn` is not known.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let state = State {
            ct: 0,
            ct_id: record.ct_id,
            first_seen_ns: record.ts_mono_ns,
            status: record.status,
            mark: record.mark,
            reply_sport: record.reply_sport.to_be_bytes(),
            reply_dport: record.reply_dport.to_be_bytes(),
            nat: record.nat,
            flags: 0,
            known: (record.known & IN_TABLE) as u8,
            pad0: 0,
        };
        match (v4(record, &record.reply_src), v4(record, &record.reply_dst)) {
            (Some(reply_src), Some(reply_dst)) => Self::V4(Flow4 {
                state,
                reply_src,
                reply_dst,
            }),
            _ => Self::V6(Flow6 {
                state,
                reply_addrs: [record.reply_src, record.reply_dst],
            }),
        }
    }

    /// The value as it lies in its map.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::V4(flow) => flow.as_bytes(),
            Self::V6(flow) => flow.as_bytes(),
        }
    }

    /// A value that was read from the map of this family; `None` if the length is another one.
    #[must_use]
    pub fn parse(is_v6: bool, bytes: &[u8]) -> Option<Self> {
        Some(if is_v6 {
            Self::V6(Flow6::read_from_bytes(bytes).ok()?)
        } else {
            Self::V4(Flow4::read_from_bytes(bytes).ok()?)
        })
    }

    /// The part that both families have.
    #[must_use]
    pub fn state(&self) -> &State {
        match self {
            Self::V4(flow) => &flow.state,
            Self::V6(flow) => &flow.state,
        }
    }

    /// The connection as a record of this type, at the time it was first seen.
    #[must_use]
    pub fn record(&self, key: &Key, kind: u8) -> Record {
        let state = self.state();
        let mut record = Record {
            ts_mono_ns: state.first_seen_ns,
            ct_id: state.ct_id,
            r#type: kind,
            nat: state.nat,
            status: state.status,
            mark: state.mark,
            known: state.known.into(),
            reply_sport: u16::from_be_bytes(state.reply_sport),
            reply_dport: u16::from_be_bytes(state.reply_dport),
            ..Record::BLANK
        };
        match key {
            Key::V4(key) => {
                record.family = family::IPV4;
                record.netns_ino = key.netns_ino;
                record.zone = key.zone;
                record.proto = key.proto;
                record.orig_sport = u16::from_be_bytes(key.sport);
                record.orig_dport = u16::from_be_bytes(key.dport);
                record.orig_src = mapped(key.src);
                record.orig_dst = mapped(key.dst);
            }
            Key::V6(key) => {
                record.family = family::IPV6;
                record.netns_ino = key.netns_ino;
                record.zone = key.zone;
                record.proto = key.proto;
                record.orig_sport = u16::from_be_bytes(key.sport);
                record.orig_dport = u16::from_be_bytes(key.dport);
                [record.orig_src, record.orig_dst] = key.addrs;
            }
        }
        [record.reply_src, record.reply_dst] = match self {
            Self::V4(flow) => [mapped(flow.reply_src), mapped(flow.reply_dst)],
            Self::V6(flow) => flow.reply_addrs,
        };
        record
    }
}

fn told<T: Default>(record: &Record, bit: u32, value: T) -> T {
    if record.knows(bit) {
        value
    } else {
        T::default()
    }
}

fn v4(record: &Record, address: &[u8; 16]) -> Option<[u8; 4]> {
    match wire::address(record.family, address) {
        IpAddr::V4(v4) => Some(v4.octets()),
        IpAddr::V6(_) => None,
    }
}

fn mapped(address: [u8; 4]) -> [u8; 16] {
    wire::address_bytes(IpAddr::from(address))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::proptest;
    use shared::record::wire::kind;

    use super::*;

    fn record(
        is_v6: bool,
        addresses: [[u8; 16]; 4],
        ports: [u16; 4],
        rest: (u8, u16, u32),
    ) -> Record {
        let address = |bytes: [u8; 16]| match is_v6 {
            true => bytes,
            false => mapped([bytes[0], bytes[1], bytes[2], bytes[3]]),
        };
        let [orig_src, orig_dst, reply_src, reply_dst] = addresses.map(address);
        let [orig_sport, orig_dport, reply_sport, reply_dport] = ports;
        let mut record = Record {
            ts_mono_ns: 11,
            ct_id: 22,
            r#type: kind::DUMP,
            family: if is_v6 { family::IPV6 } else { family::IPV4 },
            proto: rest.0,
            zone: rest.1,
            netns_ino: rest.2,
            mark: !rest.2,
            status: 0x18e,
            known: IN_TABLE,
            orig_src,
            orig_dst,
            reply_src,
            reply_dst,
            orig_sport,
            orig_dport,
            reply_sport,
            reply_dport,
            ..Record::BLANK
        };
        record.nat = record.nat_from_tuples();
        record
    }

    proptest! {
        #[test]
        fn what_goes_into_the_table_comes_out(
            is_v6: bool, addresses: [[u8; 16]; 4], ports: [u16; 4],
            rest in (any::<u8>(), any::<u16>(), any::<u32>()),
        ) {
            let record = record(is_v6, addresses, ports, rest);
            let (key, entry) = (Key::of(&record), Entry::of(&record));
            assert_eq!(Key::parse(key.is_v6(), key.bytes()), Some(key));
            assert_eq!(Entry::parse(key.is_v6(), entry.bytes()), Some(entry));
            assert_eq!(entry.record(&key, kind::DUMP), record);
        }

        #[test]
        fn bytes_of_another_length_are_no_entry(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            for is_v6 in [false, true] {
                let (key, flow) = if is_v6 { (44, 72) } else { (20, 48) };
                assert_eq!(Key::parse(is_v6, &bytes).is_some(), bytes.len() == key);
                assert_eq!(Entry::parse(is_v6, &bytes).is_some(), bytes.len() == flow);
            }
        }
    }

    #[test]
    fn connections_in_other_namespaces_and_zones_have_other_keys() {
        let base = record(false, [[1; 16]; 4], [1; 4], (17, 0, 5));
        let other_netns = Record {
            netns_ino: 6,
            ..base
        };
        let other_zone = Record { zone: 9, ..base };
        let unknown = Record { known: 0, ..base };
        let keys = [base, other_netns, other_zone, unknown].map(|record| Key::of(&record));
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key));
            assert_eq!(key.tuple_only(), keys[3]);
        }
    }

    #[test]
    fn an_ipv4_address_in_an_ipv6_connection_stays_ipv6() {
        let record = Record {
            family: family::IPV6,
            orig_src: mapped([1, 2, 3, 4]),
            orig_dst: mapped([1, 2, 3, 5]),
            ..Record::BLANK
        };
        assert!(Key::of(&record).is_v6() && matches!(Entry::of(&record), Entry::V6(_)));
    }
}
