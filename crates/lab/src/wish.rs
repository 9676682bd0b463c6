//! NAT that the packets themselves ask for: the first packet of a UDP connection carries its wish,
//! so one pair of rules serves any number of connections, each rewritten its own way.

use crate::nft::Compare;
use crate::nft::Expr;
use crate::nft::Header;
use crate::nft::MetaKey;
use crate::nft::NatKind;
use crate::nft::Register;
use crate::nft::Value;

use crate::Address;

/// Length of the header before the wish.
const UDP_HEADER_BYTES: u32 = 8;
const IPPROTO_UDP: u8 = 17;
/// First byte of the half of a wish that is to be granted.
const ASKED: u8 = 1;
const PORT_BYTES: u32 = 2;

/// What a UDP connection shall be rewritten to, as the start of its first packet's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish<A> {
    /// Where it shall go instead.
    pub dnat: Option<(A, u16)>,
    /// Where it shall appear to come from.
    pub snat: Option<(A, u16)>,
}

impl<A: Address> Wish<A> {
    /// The payload. It is as long for those who ask for nothing.
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

    /// Grants one half of the wish.
    pub(super) fn exprs(kind: NatKind) -> Vec<Expr> {
        let start = match kind {
            NatKind::Dnat => UDP_HEADER_BYTES,
            NatKind::Snat => UDP_HEADER_BYTES + half_bytes::<A>(),
        };
        let load = |offset, len, to| Expr::Payload {
            header: Header::Transport,
            offset: start + offset,
            len,
            to,
        };
        let is = |byte| Expr::Cmp(Register::R1, Compare::Equal, Value::byte(byte));
        vec![
            Expr::Meta(MetaKey::L4Proto, Register::R1),
            is(IPPROTO_UDP),
            load(0, 1, Register::R1),
            is(ASKED),
            load(1, A::BYTES, Register::R1),
            load(1 + A::BYTES, PORT_BYTES, Register::R2),
            Expr::Nat {
                kind,
                family: A::FAMILY,
                addr: Register::R1,
                port: Some(Register::R2),
            },
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
        let wish = Wish { dnat: None, snat };
        assert_eq!(wish.payload(), [0, 0, 0, 0, 0, 0, 0, 1, 127, 1, 2, 3, 4, 5]);
    }
}
