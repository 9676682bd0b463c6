//! NAT that packets request themselves: the first packet of a UDP connection carries its request, so
//! one pair of rules serves any number of connections, each rewritten in its own way.

use super::expr::Compare;
use super::expr::Expr;
use super::expr::Header;
use super::expr::MetaKey;
use super::expr::NatKind;
use super::expr::Register;
use super::expr::Value;
use super::ruleset::Address;

/// Length of the header before the request.
const UDP_HEADER_BYTES: u32 = 8;
/// First byte of the half of a request that asks for something.
const ASKED: u8 = 1;
const PORT_BYTES: u32 = 2;

/// The NAT that a UDP connection requests in the first bytes of its first packet's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatRequest<A> {
    /// The new destination.
    pub dnat: Option<(A, u16)>,
    /// The new source.
    pub snat: Option<(A, u16)>,
}

impl<A: Address> NatRequest<A> {
    /// The payload; its length does not depend on what is requested.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        for half in [self.dnat, self.snat] {
            let end = payload.len() + half_bytes::<A>() as usize;
            if let Some((addr, port)) = half {
                payload.push(ASKED);
                payload.extend(addr.into().bytes());
                payload.extend(port.to_be_bytes());
            }
            payload.resize(end, 0);
        }
        payload
    }

    /// Carries out one half of the request.
    pub(super) fn exprs(kind: NatKind) -> Vec<Expr> {
        let start = match kind {
            NatKind::Dnat => UDP_HEADER_BYTES,
            NatKind::Snat => UDP_HEADER_BYTES + half_bytes::<A>(),
        };
        let load = |offset, len, to| Expr::Payload(Header::Transport, start + offset, len, to);
        let is = |byte| Expr::Cmp(Register::R1, Compare::Equal, Value::byte(byte));
        vec![
            Expr::Meta(MetaKey::L4Proto, Register::R1),
            is(libc::IPPROTO_UDP as u8),
            load(0, 1, Register::R1),
            is(ASKED),
            load(1, A::BYTES, Register::R1),
            load(1 + A::BYTES, PORT_BYTES, Register::R2),
            Expr::Nat(kind, A::FAMILY, Register::R1, Some(Register::R2)),
        ]
    }
}

const fn half_bytes<A: Address>() -> u32 {
    1 + A::BYTES + PORT_BYTES
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn each_half_has_its_place() {
        let snat = Some((Ipv4Addr::new(127, 1, 2, 3), 0x0405));
        let request = NatRequest { dnat: None, snat };
        assert_eq!(
            request.payload(),
            [0, 0, 0, 0, 0, 0, 0, 1, 127, 1, 2, 3, 4, 5]
        );
    }
}
