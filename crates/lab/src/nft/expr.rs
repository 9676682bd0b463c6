//! The expressions of a rule, and how each is written (`enum nft_*_attributes` of
//! `linux/netfilter/nf_tables.h`). Numbers in attributes are in network order; the byte order in a
//! register is that of the expression which filled it.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use netlink::Writer;

use super::uapi;

/// Family of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Family {
    /// IPv4.
    Ip = libc::NFPROTO_IPV4 as u8,
    /// IPv6.
    Ip6 = libc::NFPROTO_IPV6 as u8,
}

impl Family {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
        }
    }
}

/// Two of the four 16-byte registers that every kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[expect(missing_docs, reason = "they differ by number only")]
pub enum Register {
    R1 = libc::NFT_REG_1 as u32,
    R2 = libc::NFT_REG_2 as u32,
}

/// A packet's metadata, in host order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum MetaKey {
    /// `skb->priority`, 4 bytes.
    Priority = libc::NFT_META_PRIORITY as u32,
    /// `skb->mark`, 4 bytes.
    Mark = libc::NFT_META_MARK as u32,
    /// `IPPROTO_*`, 1 byte.
    L4Proto = libc::NFT_META_L4PROTO as u32,
}

/// The header in which an offset counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Header {
    /// The IP header.
    Network = libc::NFT_PAYLOAD_NETWORK_HEADER as u32,
    /// The header behind it; a packet without one does not match the rule.
    Transport = libc::NFT_PAYLOAD_TRANSPORT_HEADER as u32,
}

/// How to compare; the rule ends for a packet for which it is false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Compare {
    Equal = libc::NFT_CMP_EQ as u32,
    NotEqual = libc::NFT_CMP_NEQ as u32,
}

/// A property of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum CtKey {
    /// Bits of `NF_CT_STATE_*`, 4 bytes in host order; read-only.
    State = libc::NFT_CT_STATE as u32,
    /// `nf_conn.mark`, 4 bytes in host order.
    Mark = libc::NFT_CT_MARK as u32,
    /// The zone's number, 2 bytes in host order at the register's start; set in the original
    /// direction only. Works before connection tracking has seen the packet (4.11,
    /// `CONFIG_NF_CONNTRACK_ZONES`).
    Zone = libc::NFT_CT_ZONE as u32,
}

/// Which address to rewrite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum NatKind {
    /// The source; in postrouting and input chains.
    Snat = libc::NFT_NAT_SNAT as u32,
    /// The destination; in prerouting and output chains.
    Dnat = libc::NFT_NAT_DNAT as u32,
}

/// At most 16 bytes to compare with or to put into a register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(Vec<u8>);

impl Value {
    /// A number in host order, as metadata and marks have it.
    #[must_use]
    pub fn host_u32(number: u32) -> Self {
        Self(number.to_ne_bytes().into())
    }

    /// A single byte, such as a protocol number.
    #[must_use]
    pub fn byte(number: u8) -> Self {
        Self(vec![number])
    }

    /// A port in network order.
    #[must_use]
    pub fn port(port: u16) -> Self {
        Self(port.to_be_bytes().into())
    }

    /// The bytes as a register holds them.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn write(&self, data: &mut Writer) {
        data.put(uapi::NFTA_DATA_VALUE, self.bytes());
    }
}

impl From<Ipv4Addr> for Value {
    fn from(addr: Ipv4Addr) -> Self {
        Self(addr.octets().into())
    }
}

impl From<Ipv6Addr> for Value {
    fn from(addr: Ipv6Addr) -> Self {
        Self(addr.octets().into())
    }
}

/// One step of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// Metadata into a register.
    Meta(MetaKey, Register),
    /// Bytes of the packet into a register: offset in the header, and how many, at most 16.
    Payload(Header, u32, u32, Register),
    /// Goes on with the rule or ends it.
    Cmp(Register, Compare, Value),
    /// A constant into a register.
    Immediate(Value, Register),
    /// A property of the connection into a register.
    CtLoad(CtKey, Register),
    /// A register into a property of the connection.
    CtSet(CtKey, Register),
    /// Rewrites the connection to the address in a register, and to the port in another one.
    Nat(NatKind, Family, Register, Option<Register>),
}

impl Expr {
    /// Writes the expression's name and data.
    pub(super) fn write(&self, elem: &mut Writer) {
        elem.put_str(uapi::NFTA_EXPR_NAME, self.name());
        elem.nest(uapi::NFTA_EXPR_DATA, |data| self.write_data(data));
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Meta(..) => "meta",
            Self::Payload { .. } => "payload",
            Self::Cmp(..) => "cmp",
            Self::Immediate(..) => "immediate",
            Self::CtLoad(..) | Self::CtSet(..) => "ct",
            Self::Nat { .. } => "nat",
        }
    }

    fn write_data(&self, data: &mut Writer) {
        match self {
            Self::Meta(key, to) => {
                data.put_u32_be(uapi::NFTA_META_KEY, *key as u32);
                data.put_u32_be(uapi::NFTA_META_DREG, *to as u32);
            }
            Self::Payload(header, offset, len, to) => {
                data.put_u32_be(uapi::NFTA_PAYLOAD_DREG, *to as u32);
                data.put_u32_be(uapi::NFTA_PAYLOAD_BASE, *header as u32);
                data.put_u32_be(uapi::NFTA_PAYLOAD_OFFSET, *offset);
                data.put_u32_be(uapi::NFTA_PAYLOAD_LEN, *len);
            }
            Self::Cmp(from, how, value) => {
                data.put_u32_be(uapi::NFTA_CMP_SREG, *from as u32);
                data.put_u32_be(uapi::NFTA_CMP_OP, *how as u32);
                data.nest(uapi::NFTA_CMP_DATA, |data| value.write(data));
            }
            Self::Immediate(value, to) => {
                data.put_u32_be(uapi::NFTA_IMMEDIATE_DREG, *to as u32);
                data.nest(uapi::NFTA_IMMEDIATE_DATA, |data| value.write(data));
            }
            Self::CtLoad(key, to) => {
                data.put_u32_be(uapi::NFTA_CT_KEY, *key as u32);
                data.put_u32_be(uapi::NFTA_CT_DREG, *to as u32);
            }
            Self::CtSet(key, from) => {
                data.put_u32_be(uapi::NFTA_CT_KEY, *key as u32);
                data.put_u32_be(uapi::NFTA_CT_SREG, *from as u32);
                if *key == CtKey::Zone {
                    data.put_u8(uapi::NFTA_CT_DIRECTION, uapi::IP_CT_DIR_ORIGINAL);
                }
            }
            Self::Nat(kind, family, addr, port) => {
                data.put_u32_be(uapi::NFTA_NAT_TYPE, *kind as u32);
                data.put_u32_be(uapi::NFTA_NAT_FAMILY, *family as u32);
                data.put_u32_be(uapi::NFTA_NAT_REG_ADDR_MIN, *addr as u32);
                if let Some(port) = port {
                    data.put_u32_be(uapi::NFTA_NAT_REG_PROTO_MIN, *port as u32);
                }
            }
        }
    }
}
