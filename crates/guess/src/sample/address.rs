//! Random addresses and ports for our sockets, and retries where a port is in use.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddrV4;
use std::net::SocketAddrV6;

use anyhow::Context as _;
use fastrand::Rng;
use rustix::io;
use rustix::io::Errno;

/// How many random ports are tried at most.
const TRIES: usize = 16;

/// An address of 127.0.0.0/8 other than its first and last, and a port.
pub fn random_loopback(random: &mut Rng) -> SocketAddrV4 {
    let host = random.u32(1..(1 << 24) - 1);
    SocketAddrV4::new(Ipv4Addr::from(127 << 24 | host), random_port(random))
}

/// A multicast group of 239.0.0.0/8, which is for private use, and a port.
pub fn random_group(random: &mut Rng) -> SocketAddrV4 {
    let group = random.u32(1..1 << 24);
    SocketAddrV4::new(Ipv4Addr::from(239 << 24 | group), random_port(random))
}

/// A unique local address of fd00::/8, and a port.
pub fn random_unique_local(random: &mut Rng) -> SocketAddrV6 {
    let address = Ipv6Addr::from(0xfd << 120 | random.u128(..1 << 120));
    SocketAddrV6::new(address, random_port(random), 0, 0)
}

fn random_port(random: &mut Rng) -> u16 {
    random.u16(1024..)
}

/// Calls `bind`, which draws another address each time, until the address is free.
///
/// # Errors
/// If the kernel refuses, or every address is in use.
pub fn bind_until_free<A>(mut bind: impl FnMut() -> io::Result<A>) -> anyhow::Result<A> {
    let mut bound = bind();
    for _ in 1..TRIES {
        if !matches!(bound, Err(Errno::ADDRINUSE)) {
            break;
        }
        bound = bind();
    }
    bound.context("bind to loopback")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_drawn_again() {
        for (taken, refusal, tries, is_bound) in [
            (0, Errno::ADDRINUSE, 1, true),
            (3, Errno::ADDRINUSE, 4, true),
            (TRIES, Errno::ADDRINUSE, TRIES, false),
            (3, Errno::ACCESS, 1, false),
        ] {
            let mut tried = 0;
            let bound = bind_until_free(|| {
                tried += 1;
                if tried <= taken { Err(refusal) } else { Ok(()) }
            });
            assert_eq!((tried, bound.is_ok()), (tries, is_bound));
        }
    }
}
