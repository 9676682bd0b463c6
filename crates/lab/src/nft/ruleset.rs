//! What connections in a namespace of our own should have, and the nf_tables rules for it. Pure.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use super::expr::Compare;
use super::expr::Expr;
use super::expr::Family;
use super::expr::Header;
use super::expr::MetaKey;
use super::expr::NatKind;
use super::expr::Register;
use super::expr::Value;

/// What connections should have. Everything is optional; tracking itself is always switched on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset<A> {
    /// A connection whose first packet has a priority (`SO_PRIORITY`) is in the zone that the low
    /// 16 bits of the priority name, in its original direction only: so replies, which have no
    /// priority, match it. (On a big-endian machine the high 16 bits: the kernel takes the
    /// register's first two bytes.)
    pub zone: bool,
    /// A connection gets the mark (`SO_MARK`) of each packet that has one.
    pub mark: bool,
    /// Connections to `from` go to `to`.
    pub dnat: Vec<Rewrite<A>>,
    /// Connections from `from` appear to come from `to`.
    pub snat: Vec<Rewrite<A>>,
    /// UDP connections are rewritten as their first packet's payload requests: see
    /// [`NatRequest`](super::NatRequest).
    pub nat_requests: bool,
}

// Not derived: that would require a default address.
impl<A> Default for Ruleset<A> {
    fn default() -> Self {
        Self {
            zone: false,
            mark: false,
            dnat: Vec::new(),
            snat: Vec::new(),
            nat_requests: false,
        }
    }
}

/// One NAT rule, for packets that this host sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrite<A> {
    /// The address to match.
    pub from: A,
    /// The port to match; without it every port.
    pub from_port: Option<u16>,
    /// The new address.
    pub to: A,
    /// The new port; without it the old one stays, if it is free.
    pub to_port: Option<u16>,
}

/// An address of one family, and its place in the IP header.
pub trait Address: Copy + Into<Value> {
    /// Family of the table.
    const FAMILY: Family;
    /// Offset of the source address in the header.
    const SADDR: u32;
    /// Offset of the destination address in the header.
    const DADDR: u32;
    /// Length of an address.
    const BYTES: u32 = Self::DADDR - Self::SADDR;
}

impl Address for Ipv4Addr {
    const FAMILY: Family = Family::Ip;
    const SADDR: u32 = 12;
    const DADDR: u32 = 16;
}

impl Address for Ipv6Addr {
    const FAMILY: Family = Family::Ip6;
    const SADDR: u32 = 8;
    const DADDR: u32 = 24;
}

impl<A: Address> Rewrite<A> {
    /// Matches the packets and rewrites their connection.
    pub(super) fn exprs(&self, kind: NatKind) -> Vec<Expr> {
        // UDP and TCP alike start with source port and destination port.
        let (addr, port) = match kind {
            NatKind::Snat => (A::SADDR, 0),
            NatKind::Dnat => (A::DADDR, 2),
        };
        let is = |value| Expr::Cmp(Register::R1, Compare::Equal, value);
        let mut exprs = vec![
            Expr::Payload(Header::Network, addr, A::BYTES, Register::R1),
            is(self.from.into()),
        ];
        if let Some(from_port) = self.from_port {
            exprs.push(Expr::Payload(Header::Transport, port, 2, Register::R1));
            exprs.push(is(Value::port(from_port)));
        }
        exprs.push(Expr::Immediate(self.to.into(), Register::R1));
        let port = self.to_port.map(|port| {
            exprs.push(Expr::Immediate(Value::port(port), Register::R2));
            Register::R2
        });
        exprs.push(Expr::Nat(kind, A::FAMILY, Register::R1, port));
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
