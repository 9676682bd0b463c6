//! What a namespace of our own shall do to connections, and the nf_tables rules that do it. Pure.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use crate::nft::Compare;
use crate::nft::Expr;
use crate::nft::Family;
use crate::nft::Header;
use crate::nft::MetaKey;
use crate::nft::NatKind;
use crate::nft::Register;
use crate::nft::Value;

/// What connections shall have. Everything is optional; tracking itself is always switched on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules<A> {
    /// A connection whose first packet has a priority (`SO_PRIORITY`) is in the zone that the
    /// low 16 bits of the priority name, in its original direction; so that replies, which carry
    /// no priority, find it. (The high 16 bits on a big-endian machine: the kernel takes the
    /// register's first two bytes.)
    pub zone: bool,
    /// A connection gets the mark (`SO_MARK`) of each packet that has one.
    pub mark: bool,
    /// Connections to `from` go to `to`.
    pub dnat: Vec<Rewrite<A>>,
    /// Connections from `from` appear to come from `to`.
    pub snat: Vec<Rewrite<A>>,
    /// UDP connections are rewritten as their first packet's payload asks: [`Wish`](super::Wish).
    pub wishes: bool,
}

// Not derived: that would ask for a default address.
impl<A> Default for Rules<A> {
    fn default() -> Self {
        Self {
            zone: false,
            mark: false,
            dnat: Vec::new(),
            snat: Vec::new(),
            wishes: false,
        }
    }
}

/// One NAT rule, for packets that this host sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrite<A> {
    /// The address to be rewritten.
    pub from: A,
    /// The port to be rewritten; none matches all of them.
    pub from_port: Option<u16>,
    /// The new address.
    pub to: A,
    /// The new port; none keeps the old one if it is free.
    pub to_port: Option<u16>,
}

/// An address of one family, and where the IP header has it.
pub trait Address: Copy + Into<Value> {
    /// Family of the table.
    const FAMILY: Family;
    /// Offset of the source address in the header.
    const SADDR: u32;
    /// Offset of the destination address in the header.
    const DADDR: u32;
    /// Length of an address.
    const BYTES: u32;
}

impl Address for Ipv4Addr {
    const FAMILY: Family = Family::Ip;
    const SADDR: u32 = 12;
    const DADDR: u32 = 16;
    const BYTES: u32 = 4;
}

impl Address for Ipv6Addr {
    const FAMILY: Family = Family::Ip6;
    const SADDR: u32 = 8;
    const DADDR: u32 = 24;
    const BYTES: u32 = 16;
}

impl<A: Address> Rewrite<A> {
    /// Matches the packets and rewrites their connection.
    pub(super) fn exprs(&self, kind: NatKind) -> Vec<Expr> {
        // UDP and TCP alike start with source port and destination port.
        let (addr_offset, port_offset) = match kind {
            NatKind::Snat => (A::SADDR, 0),
            NatKind::Dnat => (A::DADDR, 2),
        };
        let load = |header, offset, len| Expr::Payload {
            header,
            offset,
            len,
            to: Register::R1,
        };
        let is = |value| Expr::Cmp(Register::R1, Compare::Equal, value);
        let mut exprs = vec![
            load(Header::Network, addr_offset, A::BYTES),
            is(self.from.into()),
        ];
        if let Some(port) = self.from_port {
            exprs.extend([
                load(Header::Transport, port_offset, 2),
                is(Value::port(port)),
            ]);
        }
        exprs.push(Expr::Immediate(self.to.into(), Register::R1));
        let port = self.to_port.map(|port| {
            exprs.push(Expr::Immediate(Value::port(port), Register::R2));
            Register::R2
        });
        exprs.push(Expr::Nat {
            kind,
            family: A::FAMILY,
            addr: Register::R1,
            port,
        });
        exprs
    }
}

/// Does `then` with a property of the packet in register 1, unless it is zero.
pub(super) fn when_set(key: MetaKey, then: Expr) -> [Expr; 3] {
    let unset = Value::host_u32(0);
    [
        Expr::Meta(key, Register::R1),
        Expr::Cmp(Register::R1, Compare::NotEqual, unset),
        then,
    ]
}
