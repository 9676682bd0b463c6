//! Sockets of a world: their facts, the copies and mirrors that the kernel keeps, and the packets that they
//! send.

use std::net::Ipv4Addr;
use std::net::SocketAddrV4;

use shared::offsets::Field;

use super::layout::Extra;
use super::scene::Frame;
use super::scene::Scene;
use super::world::World;
use crate::expected::Ends;
use crate::expected::packet;
use crate::expected::socket;
use crate::expected::socket::Family;
use crate::fields::Event;
use crate::sample::pool::SocketType;
use crate::solve::sample::Expectations;
use crate::solve::sample::Expected;
use crate::solve::sample::Worth;

/// Bytes before the IP header of a datagram, and up to the TCP header of a segment.
const DATAGRAM_ROOM: u16 = 48;
const SEGMENT_ROOM: u16 = 320;

/// A socket as the kernel holds it.
#[derive(Debug, Clone, Copy)]
pub struct Sock {
    pub facts: socket::Facts,
    pub socket_type: SocketType,
    /// The flow of its last route lookup, if it keeps it.
    pub cork: Option<Ends>,
    /// The address that its IPv6 field of the peer mirrors, even if the peer has changed.
    pub mirrored: Option<Ipv4Addr>,
    pub has_checksums: bool,
    pub option_words: u32,
    pub seen: bool,
}

impl Sock {
    /// The copies that the kernel keeps.
    pub fn extras(&self) -> Vec<(Extra, Vec<u8>)> {
        let mut all = Vec::new();
        if let Some(cork) = self.cork {
            all.extend([
                (Extra::CorkSaddr, cork.src.ip().octets().to_vec()),
                (Extra::CorkDaddr, cork.dst.ip().octets().to_vec()),
                (Extra::CorkSport, cork.src.port().to_be_bytes().to_vec()),
                (Extra::CorkDport, cork.dst.port().to_be_bytes().to_vec()),
            ]);
        }
        if self.facts.family == Family::Inet6 {
            let copy = match self.socket_type {
                SocketType::Datagram => Extra::DatagramSaddr6,
                SocketType::Stream => Extra::StreamSaddr6,
            };
            all.push((copy, mapped(self.facts.sends)));
        }
        all
    }

    /// What is not expected: mirrors of sockets that need none, or that are no longer true.
    pub fn hidden(&self) -> Expectations {
        let mirrors = self.facts.family == Family::Inet6 || self.socket_type == SocketType::Stream;
        let rcv = mirrors.then_some(self.facts.receives);
        [
            (Field::SockV6RcvSaddr, rcv),
            (Field::SockV6Daddr, self.mirrored.filter(|_| mirrors)),
        ]
        .into_iter()
        .map(|(field, address)| {
            let bytes = address.map_or(vec![0; 16], mapped);
            let worth = Worth::Given(0);
            (field.into(), Expected::Bytes { bytes, worth })
        })
        .collect()
    }

    pub fn connect(&mut self, peer: SocketAddrV4) {
        let src = self.facts.address();
        self.cork = Some(Ends { src, dst: peer });
        self.facts.peer = Some(peer);
        self.mirrored = Some(*peer.ip());
    }
}

fn mapped(address: Ipv4Addr) -> Vec<u8> {
    address.to_ipv6_mapped().octets().to_vec()
}

impl World {
    pub fn socket(
        &mut self,
        site: usize,
        socket_type: SocketType,
        family: Family,
        at: SocketAddrV4,
    ) -> Sock {
        let id = self.random.u64(..);
        // The kernel counts them up.
        let ino = 40_000 + self.random.u64(..) % 20_000;
        let facts = socket::Facts::new(id, ino, self.netns(site), family, at);
        Sock {
            facts,
            socket_type,
            cork: None,
            mirrored: None,
            has_checksums: socket_type == SocketType::Stream || self.random.u32(0..2) == 0,
            option_words: self.random.u32(0..packet::OPTION_WORDS),
            seen: false,
        }
    }

    /// A packet that a socket sends.
    pub fn packet(&mut self, sender: &Sock, is_drawn: bool, wire: Ends) -> Scene {
        let mut expected = socket::expected(&sender.facts, is_drawn);
        expected.extend(packet::expected(wire, sender.option_words));
        let options = packet::options(sender.option_words);
        let header = 20 + options.len() as u16;
        let network = match sender.socket_type {
            SocketType::Datagram => DATAGRAM_ROOM,
            SocketType::Stream => SEGMENT_ROOM - header,
        };
        let protocol = match sender.socket_type {
            SocketType::Stream => libc::IPPROTO_TCP,
            SocketType::Datagram => libc::IPPROTO_UDP,
        } as u8;
        let version = 0x40 | (header / 4) as u8;
        let id = self.random.u64(..) as u8;
        let bytes = [
            &[0; 12][..],
            &[8, 0, version, 0, 0, 44, id, 0, 0x40, 0, 64, protocol, 0, 0],
            &wire.src.ip().octets(),
            &wire.dst.ip().octets(),
            &options,
            &wire.src.port().to_be_bytes(),
            &wire.dst.port().to_be_bytes(),
            &[0, 9, 0xfe, 0x1c, b'?'],
        ]
        .concat();
        let frame = Frame {
            mac: network - 14,
            network,
            transport: network + header,
            bytes,
        };
        let start = if sender.has_checksums {
            frame.transport
        } else {
            0
        };
        let mut extras = sender.extras();
        extras.push((Extra::CsumStart, start.to_ne_bytes().to_vec()));
        Scene {
            name: String::new(),
            event: Event::Packet,
            shown: 0,
            expected,
            hidden: sender.hidden(),
            extras,
            frame: Some(frame),
        }
    }
}
