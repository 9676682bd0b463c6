//! Entries of the NAT table as values: made from a record, turned back into one. The one place in
//! Rust that makes a key; `put_key` in `bpf/include/identity.h` is its twin. Knows no maps.

use shared::record::status;
use shared::record::wire::Record;
use shared::record::wire::address_bytes;
use shared::record::wire::family;
use shared::record::wire::known;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// The optional fields that an entry has.
const IN_TABLE: u32 = known::NETNS | known::STATUS | known::MARK | known::ZONE;
/// IPv4 addresses take their first bytes, and an IPv4 key or entry ends there.
type Addresses = [u8; 32];

/// `struct flow6_key` of `bpf/include/flow_entry.h`, whose beginning is `struct flow4_key`;
/// `bpf::abi_check` compares both at compile time. The header documents each field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct WireKey {
    pub netns_ino: u32,
    pub zone: u16,
    pub proto: u8,
    pub pad0: u8,
    pub sport: [u8; 2],
    pub dport: [u8; 2],
    pub clash: u32,
    pub addrs: Addresses,
}

/// `struct flow6`, whose beginning is `struct flow4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct WireEntry {
    pub ct: u64,
    pub ct_id: u64,
    pub first_seen_ns: u64,
    pub status: u32,
    pub mark: u32,
    pub expires_jiffies: u32,
    pub reply_sport: [u8; 2],
    pub reply_dport: [u8; 2],
    pub nat: u8,
    pub flags: u8,
    pub known: u8,
    pub pad0: u8,
    pub pad1: u32,
    pub reply_addrs: Addresses,
}

/// A struct of which the whole belongs to IPv6 and the first part to IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OfFamily<T> {
    is_v6: bool,
    wire: T,
}

/// The key of an entry: original tuple, zone and namespace, and which of several after a clash.
pub type Key = OfFamily<WireKey>;

/// The value of an entry.
pub type Entry = OfFamily<WireEntry>;

impl<T: FromBytes + IntoBytes + Immutable> OfFamily<T> {
    /// The bytes as they lie in the family's map.
    pub fn bytes(&self) -> &[u8] {
        &self.wire.as_bytes()[..length::<T>(self.is_v6)]
    }

    /// Bytes that were read from the map of this family; `None` if they have a wrong length.
    pub fn parse(is_v6: bool, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != length::<T>(is_v6) {
            return None;
        }
        let mut wire = T::new_zeroed();
        wire.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        Some(Self { is_v6, wire })
    }

    /// Does it belong to the IPv6 table?
    pub fn is_v6(&self) -> bool {
        self.is_v6
    }
}

impl Key {
    /// The key of a record's connection. A field that the record does not know is zero in the key,
    /// as it is in the keys that BPF programs make.
    pub fn of(record: &Record) -> Self {
        let is_v6 = record.family != family::IPV4;
        let if_known = |bit, value| if record.knows(bit) { value } else { 0 };
        Self {
            is_v6,
            wire: WireKey {
                netns_ino: if_known(known::NETNS, record.netns_ino),
                zone: if_known(known::ZONE, record.zone.into()) as u16,
                proto: record.proto,
                pad0: 0,
                sport: record.orig_sport.to_be_bytes(),
                dport: record.orig_dport.to_be_bytes(),
                clash: clash_of(record),
                addrs: pack(is_v6, [&record.orig_src, &record.orig_dst]),
            },
        }
    }

    /// The key without namespace, zone and clash, to compare tuples alone.
    pub fn tuple_only(mut self) -> Self {
        self.wire.clash = 0;
        self.wire.netns_ino = 0;
        self.wire.zone = 0;
        self
    }

    /// Did the kernel resolve a clash of it with another connection of the same original tuple?
    pub fn has_clashed(&self) -> bool {
        self.wire.clash != 0
    }

    /// Inode of the network namespace; 0 if it is not known on this kernel.
    pub fn netns_ino(&self) -> u32 {
        self.wire.netns_ino
    }
}

impl Entry {
    /// The entry of a connection from a dump or an event, whose `nf_conn` is not known.
    pub fn of(record: &Record) -> Self {
        let is_v6 = record.family != family::IPV4;
        Self {
            is_v6,
            wire: WireEntry {
                ct: 0,
                ct_id: record.ct_id,
                first_seen_ns: record.ts_mono_ns,
                status: record.status,
                mark: record.mark,
                expires_jiffies: 0,
                reply_sport: record.reply_sport.to_be_bytes(),
                reply_dport: record.reply_dport.to_be_bytes(),
                nat: record.nat,
                flags: 0,
                known: (record.known & IN_TABLE) as u8,
                pad0: 0,
                pad1: 0,
                reply_addrs: pack(is_v6, [&record.reply_src, &record.reply_dst]),
            },
        }
    }

    /// What the programs know it by if the table has no room: `digest_of` in `bpf/include/overflow.h`.
    pub fn digest(&self, key: &Key) -> u64 {
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let (flow, key) = (&self.wire, &key.wire);
        let port = |port: [u8; 2]| u64::from(u16::from_ne_bytes(port));
        let mut mixed =
            u64::from(key.netns_ino) << 32 | u64::from(key.zone) << 16 | u64::from(key.proto);
        mixed = mixed.wrapping_mul(FACTOR)
            ^ (port(key.sport) << 48
                | port(key.dport) << 32
                | port(flow.reply_sport) << 16
                | port(flow.reply_dport));
        let length = 2 * address_len(self.is_v6);
        let pairs = words(&key.addrs[..length]).zip(words(&flow.reply_addrs[..length]));
        for (orig, reply) in pairs {
            mixed = mixed.wrapping_mul(FACTOR) ^ (orig << 32 | reply);
        }
        mixed ^ mixed >> 32
    }

    /// The connection's id in records.
    pub fn ct_id(&self) -> u64 {
        self.wire.ct_id
    }

    /// `IPS_*` bits, as last seen.
    pub fn status(&self) -> u32 {
        self.wire.status
    }

    /// The connection as a record of this type, at the time it was first seen.
    pub fn record(&self, key: &Key, kind: u8) -> Record {
        let (flow, key) = (&self.wire, &key.wire);
        let [orig_src, orig_dst] = unpack(self.is_v6, &key.addrs);
        let [reply_src, reply_dst] = unpack(self.is_v6, &flow.reply_addrs);
        Record {
            ts_mono_ns: flow.first_seen_ns,
            ct_id: flow.ct_id,
            r#type: kind,
            family: if self.is_v6 {
                family::IPV6
            } else {
                family::IPV4
            },
            proto: key.proto,
            nat: flow.nat,
            netns_ino: key.netns_ino,
            status: flow.status,
            mark: flow.mark,
            zone: key.zone,
            known: flow.known.into(),
            orig_src,
            orig_dst,
            reply_src,
            reply_dst,
            orig_sport: u16::from_be_bytes(key.sport),
            orig_dport: u16::from_be_bytes(key.dport),
            reply_sport: u16::from_be_bytes(flow.reply_sport),
            reply_dport: u16::from_be_bytes(flow.reply_dport),
            ..Record::BLANK
        }
    }
}

/// `clash_of` in `bpf/include/identity.h`: 0, or a digest of the reply tuple if the kernel resolved a
/// clash in favour of another connection of the same original tuple.
fn clash_of(record: &Record) -> u32 {
    if !record.knows(known::STATUS) || record.status & status::NAT_CLASH == 0 {
        return 0;
    }
    // The program reads ports and addresses as they lie in memory, in network order.
    let port = |port: u16| u64::from(u16::from_ne_bytes(port.to_be_bytes()));
    let mut mixed = port(record.reply_sport) << 16 | port(record.reply_dport);
    let is_v6 = record.family != family::IPV4;
    let packed = pack(is_v6, [&record.reply_src, &record.reply_dst]);
    let (src, rest) = packed.split_at(address_len(is_v6));
    for (src, dst) in words(src).zip(words(rest)) {
        mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (src << 32 | dst);
    }
    (mixed.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32) as u32 | 1
}

/// An address as the programs read it: words as they lie in memory.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let words = bytes.chunks_exact(4);
    let words = words.filter_map(|bytes| bytes.first_chunk());
    words.map(|bytes| u64::from(u32::from_ne_bytes(*bytes)))
}

fn address_len(is_v6: bool) -> usize {
    if is_v6 { 16 } else { 4 }
}

/// Bytes of a struct that this family uses: all but the rest of its two addresses.
fn length<T>(is_v6: bool) -> usize {
    size_of::<T>() - size_of::<Addresses>() + 2 * address_len(is_v6)
}

/// An IPv4 address is the end of its 16 bytes in a record (`::ffff:a.b.c.d`).
fn pack(is_v6: bool, addresses: [&[u8; 16]; 2]) -> Addresses {
    let mut packed = [0; size_of::<Addresses>()];
    let length = address_len(is_v6);
    for (to, from) in packed.chunks_exact_mut(length).zip(addresses) {
        to.copy_from_slice(&from[16 - length..]);
    }
    packed
}

fn unpack(is_v6: bool, packed: &Addresses) -> [[u8; 16]; 2] {
    let length = address_len(is_v6);
    [&packed[..length], &packed[length..]].map(|from| {
        let mut address = if is_v6 {
            [0; 16]
        } else {
            address_bytes([0; 4].into())
        };
        address[16 - length..].copy_from_slice(&from[..length]);
        address
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::proptest;
    use shared::record::wire::kind;

    use super::*;

    fn mapped(address: [u8; 4]) -> [u8; 16] {
        address_bytes(address.into())
    }

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
                let (key, flow) = if is_v6 { (48, 80) } else { (24, 56) };
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
        assert!(Key::of(&record).is_v6() && Entry::of(&record).is_v6);
    }
}
