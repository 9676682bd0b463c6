//! The expressions of a rule, and how each is written (`enum nft_*_attributes` of
//! `linux/netfilter/nf_tables.h`). Numbers in attributes are in network order; what a register
//! holds is in the order that the expression which filled it chose.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use netlink::Writer;

use super::Family;
use super::uapi;

/// One of the four 16-byte registers that every kernel has. The values are `NFT_REG_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[expect(missing_docs, reason = "they differ by number only")]
pub enum Register {
    R1 = 1,
    R2,
    R3,
    R4,
}

/// What of the packet's metadata to read (`NFT_META_*`), all in host order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum MetaKey {
    /// `skb->priority`, 4 bytes.
    Priority = 2,
    /// `skb->mark`, 4 bytes.
    Mark = 3,
    /// `NFPROTO_*`, 1 byte.
    NfProto = 15,
    /// `IPPROTO_*`, 1 byte.
    L4Proto = 16,
}

/// Where in the packet to count from (`NFT_PAYLOAD_*_HEADER`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Header {
    /// The IP header.
    Network = 1,
    /// The header behind it; a packet without one does not match the rule.
    Transport = 2,
}

/// How to compare (`NFT_CMP_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Compare {
    /// The rule goes on if equal.
    Equal = 0,
    /// The rule goes on if not equal.
    NotEqual = 1,
}

/// What of the connection to read or set (`NFT_CT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum CtKey {
    /// Bits of `NF_CT_STATE_*`, 4 bytes in host order; can only be read.
    State = 0,
    /// `nf_conn.mark`, 4 bytes in host order.
    Mark = 3,
    /// The zone's number, 2 bytes in host order at the register's start. Setting it works before
    /// connection tracking has seen the packet (4.11, `CONFIG_NF_CONNTRACK_ZONES`).
    Zone = 17,
}

/// One direction of a connection (`IP_CT_DIR_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// That of the first packet.
    Original = 0,
    /// The other one.
    Reply = 1,
}

/// Which address to rewrite (`NFT_NAT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum NatKind {
    /// The source; in postrouting and input chains.
    Snat = 0,
    /// The destination; in prerouting and output chains.
    Dnat = 1,
}

/// At most 16 bytes to compare with or to put into a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    bytes: [u8; 16],
    len: usize,
}

impl Value {
    fn new<const N: usize>(bytes: [u8; N]) -> Self {
        const { assert!(N <= 16) };
        let mut value = Self {
            bytes: [0; 16],
            len: N,
        };
        value.bytes[..N].copy_from_slice(&bytes);
        value
    }

    /// A number as metadata and marks have it.
    #[must_use]
    pub fn host_u32(number: u32) -> Self {
        Self::new(number.to_ne_bytes())
    }

    /// A single byte, as a protocol number is.
    #[must_use]
    pub fn byte(number: u8) -> Self {
        Self::new([number])
    }

    /// A port as the packet has it.
    #[must_use]
    pub fn port(port: u16) -> Self {
        Self::new(port.to_be_bytes())
    }

    /// The bytes as a register holds them.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn write(&self, data: &mut Writer) {
        data.put(uapi::NFTA_DATA_VALUE, self.bytes());
    }
}

impl From<IpAddr> for Value {
    fn from(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => v6.into(),
        }
    }
}

impl From<Ipv4Addr> for Value {
    fn from(addr: Ipv4Addr) -> Self {
        Self::new(addr.octets())
    }
}

impl From<Ipv6Addr> for Value {
    fn from(addr: Ipv6Addr) -> Self {
        Self::new(addr.octets())
    }
}

/// One step of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expr {
    /// Metadata into a register.
    Meta(MetaKey, Register),
    /// Bytes of the packet into a register.
    Payload {
        /// Where `offset` counts from.
        header: Header,
        /// First byte.
        offset: u32,
        /// How many bytes, at most 16.
        len: u32,
        /// Where they go.
        to: Register,
    },
    /// Goes on with the rule or ends it.
    Cmp(Register, Compare, Value),
    /// A constant into a register.
    Immediate(Value, Register),
    /// A property of the connection into a register.
    CtLoad(CtKey, Register),
    /// A register into a property of the connection; a zone may be for one direction only.
    CtSet(CtKey, Register, Option<Direction>),
    /// Rewrites the connection to the address, and the port, in registers.
    Nat {
        /// Which side.
        kind: NatKind,
        /// Of the address: [`Family::Ip`] or [`Family::Ip6`].
        family: Family,
        /// Holds the address.
        addr: Register,
        /// Holds the port, if it is to be rewritten.
        port: Option<Register>,
    },
    /// Rewrites the source to the address of the interface that the packet leaves by.
    Masquerade,
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
            Self::Masquerade => "masq",
        }
    }

    fn write_data(&self, data: &mut Writer) {
        match *self {
            Self::Meta(key, to) => {
                data.put_u32_be(uapi::NFTA_META_KEY, key as u32);
                data.put_u32_be(uapi::NFTA_META_DREG, to as u32);
            }
            Self::Payload {
                header,
                offset,
                len,
                to,
            } => {
                data.put_u32_be(uapi::NFTA_PAYLOAD_DREG, to as u32);
                data.put_u32_be(uapi::NFTA_PAYLOAD_BASE, header as u32);
                data.put_u32_be(uapi::NFTA_PAYLOAD_OFFSET, offset);
                data.put_u32_be(uapi::NFTA_PAYLOAD_LEN, len);
            }
            Self::Cmp(from, how, value) => {
                data.put_u32_be(uapi::NFTA_CMP_SREG, from as u32);
                data.put_u32_be(uapi::NFTA_CMP_OP, how as u32);
                data.nest(uapi::NFTA_CMP_DATA, |data| value.write(data));
            }
            Self::Immediate(value, to) => {
                data.put_u32_be(uapi::NFTA_IMMEDIATE_DREG, to as u32);
                data.nest(uapi::NFTA_IMMEDIATE_DATA, |data| value.write(data));
            }
            Self::CtLoad(key, to) => {
                data.put_u32_be(uapi::NFTA_CT_KEY, key as u32);
                data.put_u32_be(uapi::NFTA_CT_DREG, to as u32);
            }
            Self::CtSet(key, from, direction) => {
                data.put_u32_be(uapi::NFTA_CT_KEY, key as u32);
                data.put_u32_be(uapi::NFTA_CT_SREG, from as u32);
                if let Some(direction) = direction {
                    data.put_u8(uapi::NFTA_CT_DIRECTION, direction as u8);
                }
            }
            Self::Nat {
                kind,
                family,
                addr,
                port,
            } => {
                data.put_u32_be(uapi::NFTA_NAT_TYPE, kind as u32);
                data.put_u32_be(uapi::NFTA_NAT_FAMILY, u32::from(family as u8));
                data.put_u32_be(uapi::NFTA_NAT_REG_ADDR_MIN, addr as u32);
                if let Some(port) = port {
                    data.put_u32_be(uapi::NFTA_NAT_REG_PROTO_MIN, port as u32);
                }
            }
            Self::Masquerade => {}
        }
    }
}
