//! A route lookup: what the flow must hold that a route is looked up for. Pure.

use std::net::SocketAddrV6;

use shared::offsets::Field;

use super::Ends;
use super::address;
use super::given;
use super::port;
use crate::solve::sample::Expectations;

/// A random address has more.
const ADDRESS6_BITS: u32 = 64;

/// Of an IPv4 flow.
#[must_use]
pub fn expected4(ends: Ends) -> Expectations {
    vec![
        address(Field::Flowi4Saddr, *ends.src.ip()),
        address(Field::Flowi4Daddr, *ends.dst.ip()),
        port(Field::Flowi4Sport, ends.src.port()),
        port(Field::Flowi4Dport, ends.dst.port()),
    ]
}

/// Of an IPv6 flow.
#[must_use]
pub fn expected6(src: SocketAddrV6, dst: SocketAddrV6) -> Expectations {
    vec![
        given(Field::Flowi6Saddr, &src.ip().octets(), ADDRESS6_BITS),
        given(Field::Flowi6Daddr, &dst.ip().octets(), ADDRESS6_BITS),
        port(Field::Flowi6Sport, src.port()),
        port(Field::Flowi6Dport, dst.port()),
    ]
}
