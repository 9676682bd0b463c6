//! What a socket must hold in the state that we brought it to. Pure.
//!
//! The kernel keeps several copies of an address. Each state sets some of them and leaves the others
//! unchanged, which distinguishes the copies.

use std::net::Ipv4Addr;
use std::net::SocketAddrV4;

use shared::offsets::Field;

use super::value::ADDRESS_BITS;
use super::value::PORT_BITS;
use super::value::address;
use super::value::given;
use super::value::namespace;
use super::value::object;
use super::value::port;
use crate::fields::Place;
use crate::solve::sample::Expectations;
use crate::solve::sample::Expected;
use crate::solve::sample::Worth;

/// Inode numbers of sockets are counted up, so few of their bits are a surprise, but each object has
/// its own number.
const INO_BITS: u32 = 16;
/// The family is drawn from two for each socket.
const FAMILY_BITS: u32 = 1;
/// The time from a segment to its acknowledgement is drawn from several hundred microseconds; it
/// changes the smoothed values by an eighth and a quarter of its difference to them.
const RTT_BITS: u32 = 4;

/// An address family that can carry IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// `AF_INET`.
    Inet,
    /// `AF_INET6` with IPv4-mapped addresses, which need no IPv6 address or route.
    Inet6,
}

/// Everything that we know about a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// A number that no other socket of this run has.
    pub id: u64,
    /// Its inode number.
    pub ino: u64,
    /// Inode number of its namespace; none if the kernel has no namespaces.
    pub netns: Option<u32>,
    /// Its family.
    pub family: Family,
    /// Whether its IPv6 fields must hold the IPv4 addresses as mapped ones.
    pub mirrors: bool,
    /// The address at which it receives.
    pub receives: Ipv4Addr,
    /// The address from which it sends.
    pub sends: Ipv4Addr,
    /// Its port.
    pub port: u16,
    /// The peer that it is connected to.
    pub peer: Option<SocketAddrV4>,
}

impl Facts {
    /// A socket that is bound to `at` and not connected.
    pub fn new(id: u64, ino: u64, netns: Option<u32>, family: Family, at: SocketAddrV4) -> Self {
        Self {
            id,
            ino,
            netns,
            family,
            mirrors: family == Family::Inet6,
            receives: *at.ip(),
            sends: *at.ip(),
            port: at.port(),
            peer: None,
        }
    }

    /// The address and port from which it sends.
    pub const fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.sends, self.port)
    }
}

/// What the socket and the objects behind its pointers must hold. `is_drawn` says that its family was
/// drawn and that no earlier sample has counted it.
pub fn expected(socket: &Facts, is_drawn: bool) -> Expectations {
    let number = match socket.family {
        Family::Inet => libc::AF_INET,
        Family::Inet6 => libc::AF_INET6,
    } as u16;
    let family = Expected::Bytes {
        bytes: number.to_ne_bytes().to_vec(),
        worth: Worth::Drawn(if is_drawn { FAMILY_BITS } else { 0 }),
    };
    let unconnected = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
    let peer = socket.peer.unwrap_or(unconnected);
    let mut all = vec![
        (Field::SkBuffSk.into(), object(socket.id)),
        (Place::SockSocket, object(socket.id)),
        given(Place::SocketIno, &socket.ino.to_ne_bytes(), INO_BITS),
        (Field::SocketSk.into(), Expected::Back),
        (Field::SockFamily.into(), family),
        address(Field::SockRcvSaddr, socket.receives),
        address(Field::InetSockSaddr, socket.sends),
        given(Field::SockNum, &socket.port.to_ne_bytes(), PORT_BITS),
        port(Field::InetSockSport, socket.port),
        address(Field::SockDaddr, *peer.ip()),
        port(Field::SockDport, peer.port()),
    ];
    let netns = socket.netns.into_iter();
    all.extend(netns.flat_map(|inum| namespace(Field::SockNet, inum)));
    if socket.mirrors {
        all.push(mapped(Field::SockV6RcvSaddr, socket.receives));
        let daddr = |peer: SocketAddrV4| mapped(Field::SockV6Daddr, *peer.ip());
        all.extend(socket.peer.map(daddr));
    }
    all
}

/// An IPv4 address as `::ffff:a.b.c.d`.
fn mapped(field: Field, address: Ipv4Addr) -> (Place, Expected) {
    given(field, &address.to_ipv6_mapped().octets(), ADDRESS_BITS)
}

/// The smoothed round-trip time and its mean deviation, as `TCP_INFO` reports them both before and after
/// the packet.
pub fn round_trip(rtt_us: u32, rttvar_us: u32) -> Expectations {
    let shifted = |value, shift| Expected::Shifted {
        value,
        shift,
        worth: Worth::Given(RTT_BITS),
    };
    // tcp_get_info(): `srtt_us >> 3`, `mdev_us >> 2`.
    vec![
        (Field::TcpSockSrttUs.into(), shifted(rtt_us, 3)),
        (Field::TcpSockMdevUs.into(), shifted(rttvar_us, 2)),
    ]
}
