//! What each place must hold, computed from what we did and from nothing else: the one place that
//! knows it, for sampling and verification alike. Pure.
//!
//! Each value has its surprise in bits. It is stated low: a value that others could hold for a
//! reason, and not by chance alone, counts for less than its entropy.

pub mod connection;
pub mod packet;
pub mod route;
pub mod socket;

use std::net::Ipv4Addr;
use std::net::SocketAddrV4;

use shared::offsets::Field;

use crate::fields::Place;
use crate::solve::sample::Expected;
use crate::solve::sample::Worth;

/// A random address of 127.0.0.0/8 has 24 bits; the first byte is no surprise.
const ADDRESS_BITS: u32 = 23;
/// A random port of 1024 and more has 15.98 bits.
const PORT_BITS: u32 = 15;
/// Of an inode number the upper twelve bits are those of PROC_DYNAMIC_FIRST (0xf0000000); the others
/// come from one pool, which gives a number to one object at a time. So only the number itself or a
/// copy follows it from namespace to namespace, but for chance.
const INUM_BITS: u32 = 20;

/// Both ends of a packet or a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Where it comes from.
    pub src: SocketAddrV4,
    /// Where it goes.
    pub dst: SocketAddrV4,
}

impl Ends {
    /// The other way round.
    #[must_use]
    pub const fn back(self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
        }
    }
}

/// Bytes that may have been there before.
fn given(field: Field, bytes: &[u8], bits: u32) -> (Place, Expected) {
    let expected = Expected::Bytes {
        bytes: bytes.to_vec(),
        worth: Worth::Given(bits),
    };
    (field.into(), expected)
}

fn address(field: Field, address: Ipv4Addr) -> (Place, Expected) {
    // The two that nobody draws prove nothing.
    let bits = match address {
        Ipv4Addr::UNSPECIFIED | Ipv4Addr::LOCALHOST => 0,
        _ => ADDRESS_BITS,
    };
    given(field, &address.octets(), bits)
}

/// A port in network order.
fn port(field: Field, port: u16) -> (Place, Expected) {
    given(
        field,
        &port.to_be_bytes(),
        if port == 0 { 0 } else { PORT_BITS },
    )
}

/// The number of a namespace, wherever its struct is reached.
fn inum(number: u32) -> (Place, Expected) {
    given(Field::NetNsInum, &number.to_ne_bytes(), INUM_BITS)
}

const fn object(id: u64) -> Expected {
    Expected::Object { id, tag: 0 }
}
