//! The building blocks of expectations: addresses, ports, numbers and pointers, each with its surprise
//! in bits. The surprise is stated low: a value that others could hold for a reason, not only by
//! chance, counts for less than its entropy.

use std::net::Ipv4Addr;
use std::net::SocketAddrV4;

use shared::offsets::Field;

use crate::fields::Place;
use crate::solve::sample::Expected;
use crate::solve::sample::Worth;

/// A random address of 127.0.0.0/8 has 24 bits; its first byte is no surprise.
pub const ADDRESS_BITS: u32 = 23;
/// A random port of 1024 and above has 15.98 bits.
pub const PORT_BITS: u32 = 15;
/// The upper twelve bits of a namespace's inode number are those of PROC_DYNAMIC_FIRST (0xf0000000).
/// The others come from a pool that gives each number to one object at a time. So, except by chance,
/// only the number itself or a copy follows it from namespace to namespace.
const INUM_BITS: u32 = 20;

/// Both ends of a packet or a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The source.
    pub src: SocketAddrV4,
    /// The destination.
    pub dst: SocketAddrV4,
}

impl Ends {
    /// Source and destination swapped.
    pub const fn back(self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
        }
    }
}

/// A value that the place may have held before.
pub fn given(place: impl Into<Place>, bytes: &[u8], bits: u32) -> (Place, Expected) {
    let expected = Expected::Bytes {
        bytes: bytes.to_vec(),
        worth: Worth::Given(bits),
    };
    (place.into(), expected)
}

/// An IPv4 address in network order.
pub fn address(field: Field, address: Ipv4Addr) -> (Place, Expected) {
    // These two are never drawn and prove nothing.
    let bits = match address {
        Ipv4Addr::UNSPECIFIED | Ipv4Addr::LOCALHOST => 0,
        _ => ADDRESS_BITS,
    };
    given(field, &address.octets(), bits)
}

/// A port in network order.
pub fn port(field: Field, port: u16) -> (Place, Expected) {
    let bits = if port == 0 { 0 } else { PORT_BITS };
    given(field, &port.to_be_bytes(), bits)
}

/// The address of the object with this number, without a tag.
pub const fn object(id: u64) -> Expected {
    Expected::Object { id, tag: 0 }
}

/// A pointer to the namespace with this inode number, and the number behind the pointer.
pub fn namespace(pointer: Field, inum: u32) -> [(Place, Expected); 2] {
    [
        (pointer.into(), object(inum.into())),
        given(Field::NetNsInum, &inum.to_ne_bytes(), INUM_BITS),
    ]
}
