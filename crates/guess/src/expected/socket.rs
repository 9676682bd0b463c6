//! A socket: what it must hold in the state that we brought it to, whoever sends. Pure.
//!
//! A state sets some of the copies that the kernel keeps of an address and leaves others as they
//! were: that tells them apart.

use std::net::Ipv4Addr;
use std::net::SocketAddrV4;

use shared::offsets::Field;

use super::ADDRESS_BITS;
use super::PORT_BITS;
use super::address;
use super::given;
use super::inum;
use super::object;
use super::port;
use crate::fields::Place;
use crate::solve::sample::Expectations;
use crate::solve::sample::Expected;
use crate::solve::sample::Worth;

/// Inode numbers of sockets are counted up: few bits are a surprise, but each object has its own.
const INO_BITS: u32 = 16;
/// One of two families, drawn for each socket.
const FAMILY_BITS: u32 = 1;
/// The time between a segment and its acknowledgement is drawn from several hundred microseconds;
/// its share in the smoothed values is an eighth and a quarter.
const RTT_BITS: u32 = 4;

/// An address family that can carry IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// `AF_INET`.
    Inet,
    /// `AF_INET6`, with addresses mapped from IPv4: no IPv6 address or route is needed.
    Inet6,
}

impl Family {
    /// The number of the address family.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Inet => 2,
            Self::Inet6 => 10,
        }
    }
}

/// All that is known of a socket.
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
    /// Whether its IPv6 addresses mirror the IPv4 ones; none if that cannot be foreseen.
    pub mirrors: Option<bool>,
    /// What it receives for.
    pub receives: Ipv4Addr,
    /// What it sends from.
    pub sends: Ipv4Addr,
    /// Its port.
    pub port: u16,
    /// What it is connected to.
    pub peer: Option<SocketAddrV4>,
}

impl Facts {
    /// Says that it is at another address.
    pub const fn move_to(&mut self, at: SocketAddrV4) {
        (self.receives, self.sends) = (*at.ip(), *at.ip());
        self.port = at.port();
    }
}

/// What must be in it and in what it points to. `is_drawn` if its family was drawn and no sample of
/// it was taken before.
#[must_use]
pub fn expected(socket: &Facts, is_drawn: bool) -> Expectations {
    let family = Expected::Bytes {
        bytes: socket.family.number().to_ne_bytes().to_vec(),
        worth: Worth::Drawn(if is_drawn { FAMILY_BITS } else { 0 }),
    };
    let ino = Expected::Bytes {
        bytes: socket.ino.to_ne_bytes().to_vec(),
        worth: Worth::Given(INO_BITS),
    };
    let (daddr, dport) = socket
        .peer
        .map_or((Ipv4Addr::UNSPECIFIED, 0), |peer| (*peer.ip(), peer.port()));
    let mut all = vec![
        (Field::SkBuffSk.into(), object(socket.id)),
        (Place::SockSocket, object(socket.id)),
        (Place::SocketIno, ino),
        (Field::SocketSk.into(), Expected::Back),
        (Field::SockFamily.into(), family),
        address(Field::SockRcvSaddr, socket.receives),
        address(Field::InetSockSaddr, socket.sends),
        given(Field::SockNum, &socket.port.to_ne_bytes(), PORT_BITS),
        port(Field::InetSockSport, socket.port),
        address(Field::SockDaddr, daddr),
        port(Field::SockDport, dport),
    ];
    if let Some(netns) = socket.netns {
        all.push((Field::SockNet.into(), object(netns.into())));
        all.push(inum(netns));
    }
    if socket.mirrors == Some(true) {
        all.push(mapped(Field::SockV6RcvSaddr, socket.receives));
        all.extend(
            socket
                .peer
                .map(|peer| mapped(Field::SockV6Daddr, *peer.ip())),
        );
    }
    all
}

/// `::ffff:a.b.c.d`.
fn mapped(field: Field, address: Ipv4Addr) -> (Place, Expected) {
    given(field, &address.to_ipv6_mapped().octets(), ADDRESS_BITS)
}

/// Its round-trip times, as `TCP_INFO` shows them before and after the packet: smoothed, and their
/// mean deviation.
#[must_use]
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
