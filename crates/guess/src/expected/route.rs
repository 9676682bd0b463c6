//! What the flow of a route lookup must hold. Pure.

use std::net::SocketAddr;

use shared::offsets::Field;

use super::value::address;
use super::value::given;
use super::value::port;
use crate::solve::sample::Expectations;

/// A random address has more.
const ADDRESS6_BITS: u32 = 64;

/// The addresses and ports of the flow; none if the two ends have different families.
pub fn expected(src: SocketAddr, dst: SocketAddr) -> Option<Expectations> {
    match (src, dst) {
        (SocketAddr::V4(src), SocketAddr::V4(dst)) => Some(vec![
            address(Field::Flowi4Saddr, *src.ip()),
            address(Field::Flowi4Daddr, *dst.ip()),
            port(Field::Flowi4Sport, src.port()),
            port(Field::Flowi4Dport, dst.port()),
        ]),
        (SocketAddr::V6(src), SocketAddr::V6(dst)) => Some(vec![
            given(Field::Flowi6Saddr, &src.ip().octets(), ADDRESS6_BITS),
            given(Field::Flowi6Daddr, &dst.ip().octets(), ADDRESS6_BITS),
            port(Field::Flowi6Sport, src.port()),
            port(Field::Flowi6Dport, dst.port()),
        ]),
        _ => None,
    }
}
