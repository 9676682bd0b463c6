//! Where a test kernel keeps its fields, and the copies that a real kernel keeps of them.

use std::collections::HashMap;

use crate::fields::Event;
use crate::fields::Place;
use crate::fields::SPECS;
use crate::fields::Struct;
use fastrand::Rng;

/// What is in a struct besides the places that are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extra {
    PacketMark,
    /// Points to the frame, in the same buffer as `head`.
    PacketData,
    /// `transport_header` once more, unless the packet has no checksum.
    CsumStart,
    SockMark,
    /// The flow of the last route lookup, in `inet_cork`: set by connecting, and stale from then on.
    CorkSaddr,
    CorkDaddr,
    CorkSport,
    CorkDport,
    /// `ipv6_pinfo.saddr`, at the end of a socket, whose offset depends on the protocol.
    DatagramSaddr6,
    StreamSaddr6,
    /// `sk_wq`, which points into the `struct socket`.
    SockWq,
    Flow4Mark,
    Flow6Mark,
    /// A `struct sockaddr` next to a flow on the stack; its place depends on the caller.
    StackDaddr4,
    StackDport4,
    StackDaddr6,
    StackDport6,
}

impl Extra {
    const ALL: [(Self, Struct, u32, u32); 17] = [
        (Self::PacketMark, Struct::SkBuff, 4, 4),
        (Self::PacketData, Struct::SkBuff, 8, 8),
        (Self::CsumStart, Struct::SkBuff, 2, 2),
        (Self::SockMark, Struct::Sock, 4, 4),
        (Self::CorkSaddr, Struct::Sock, 4, 4),
        (Self::CorkDaddr, Struct::Sock, 4, 4),
        (Self::CorkSport, Struct::Sock, 2, 2),
        (Self::CorkDport, Struct::Sock, 2, 2),
        (Self::DatagramSaddr6, Struct::Sock, 16, 8),
        (Self::StreamSaddr6, Struct::Sock, 16, 8),
        (Self::SockWq, Struct::Sock, 8, 8),
        (Self::Flow4Mark, Struct::Flowi4, 4, 4),
        (Self::Flow6Mark, Struct::Flowi6, 4, 4),
        (Self::StackDaddr4, Struct::Flowi4, 4, 4),
        (Self::StackDport4, Struct::Flowi4, 2, 2),
        (Self::StackDaddr6, Struct::Flowi6, 16, 4),
        (Self::StackDport6, Struct::Flowi6, 2, 2),
    ];

    /// The mark that identifies such an event as ours.
    pub const fn mark_of(event: Event) -> Self {
        match event {
            Event::Packet => Self::PacketMark,
            Event::SockState => Self::SockMark,
            Event::Route4 => Self::Flow4Mark,
            Event::Route6 => Self::Flow6Mark,
        }
    }

    /// Whether it identifies an event as ours.
    pub fn is_mark(self) -> bool {
        Event::ALL.map(Self::mark_of).contains(&self)
    }

    pub fn inside(self) -> Struct {
        let mut all = Self::ALL.iter();
        all.find(|(extra, ..)| *extra == self).unwrap().1
    }
}

/// The offset of each place and copy that exists.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    pub places: HashMap<Place, u32>,
    pub extras: HashMap<Extra, u32>,
    /// After this many bytes another object of the same kind begins.
    pub sizes: HashMap<Struct, u32>,
}

impl Layout {
    /// Of 6.18 on x86-64.
    pub fn usual() -> Self {
        let places = [
            ("sk_buff._nfct", 104),
            ("sk_buff.sk", 24),
            ("sk_buff.head", 192),
            ("sk_buff.transport_header", 178),
            ("sk_buff.network_header", 180),
            ("sk_buff.mac_header", 182),
            ("nf_conn.tuplehash[0].tuple", 32),
            ("nf_conn.tuplehash[1].tuple", 88),
            ("nf_conn.status", 128),
            ("nf_conn.mark", 168),
            ("nf_conn.zone", 12),
            ("nf_conn.timeout", 8),
            ("nf_conn.ct_net", 136),
            ("net.ns.inum", 176),
            ("sock.skc_daddr", 0),
            ("sock.skc_rcv_saddr", 4),
            ("sock.skc_dport", 12),
            ("sock.skc_num", 14),
            ("sock.skc_family", 16),
            ("sock.skc_net", 48),
            ("sock.skc_v6_daddr", 56),
            ("sock.skc_v6_rcv_saddr", 72),
            ("sock.sk_socket", 288),
            ("inet_sock.inet_saddr", 808),
            ("inet_sock.inet_sport", 814),
            ("tcp_sock.srtt_us", 1680),
            ("tcp_sock.mdev_us", 1588),
            ("socket_alloc.vfs_inode.i_ino", 192),
            ("socket.sk", 24),
            ("flowi4.saddr", 40),
            ("flowi4.daddr", 44),
            ("flowi4.fl4_sport", 50),
            ("flowi4.fl4_dport", 48),
            ("flowi6.saddr", 56),
            ("flowi6.daddr", 40),
            ("flowi6.fl6_sport", 78),
            ("flowi6.fl6_dport", 76),
        ];
        let extras = [
            (Extra::PacketMark, 164),
            (Extra::PacketData, 200),
            (Extra::CsumStart, 144),
            (Extra::SockMark, 524),
            (Extra::CorkSaddr, 968),
            (Extra::CorkDaddr, 972),
            (Extra::CorkSport, 978),
            (Extra::CorkDport, 976),
            (Extra::DatagramSaddr6, 1344),
            (Extra::StreamSaddr6, 2304),
            (Extra::SockWq, 280),
            (Extra::Flow4Mark, 12),
            (Extra::Flow6Mark, 12),
            (Extra::StackDaddr4, 132),
            (Extra::StackDport4, 130),
            (Extra::StackDaddr6, 168),
            (Extra::StackDport6, 162),
        ];
        let sizes = [
            (Struct::SkBuff, 256),
            (Struct::NfConn, 256),
            (Struct::Sock, 2560),
            (Struct::Socket, 768),
        ];
        Self {
            places: places
                .into_iter()
                .map(|(path, at)| (Place::of_path(path).unwrap(), at))
                .collect(),
            extras: extras.into(),
            sizes: sizes.into(),
        }
    }

    /// Everything anywhere in its struct, without overlaps.
    pub fn randomised(random: &mut Rng) -> Self {
        let mut layout = Self::default();
        let mut taken = Vec::new();
        for spec in SPECS {
            let (size, align) = (spec.place.size_bytes(), spec.align_bytes);
            let at = free(random, &mut taken, spec.inside, size, align);
            layout.places.insert(spec.place, at);
        }
        for (extra, inside, size, align) in Extra::ALL {
            let at = free(random, &mut taken, inside, size, align);
            layout.extras.insert(extra, at);
        }
        layout
    }

    /// Free bytes of a struct.
    pub fn somewhere_free(&self, random: &mut Rng, place: Place) -> u32 {
        let places = SPECS.iter().filter_map(|spec| {
            let at = *self.places.get(&spec.place)?;
            Some((spec.inside, at, at + spec.place.size_bytes()))
        });
        let extras = Extra::ALL.iter().filter_map(|(extra, inside, size, _)| {
            let at = *self.extras.get(extra)?;
            Some((*inside, at, at + size))
        });
        let mut taken = places.chain(extras).collect();
        let spec = place.spec();
        let (size, align) = (place.size_bytes(), spec.align_bytes);
        free(random, &mut taken, spec.inside, size, align)
    }
}

/// Takes free bytes of a struct.
fn free(
    random: &mut Rng,
    taken: &mut Vec<(Struct, u32, u32)>,
    inside: Struct,
    size: u32,
    align: u32,
) -> u32 {
    let places = (inside.window_bytes() - size) / align;
    loop {
        let start = random.u32(0..places + 1) * align;
        let end = start + size;
        let is_free = taken
            .iter()
            .all(|&(other, from, to)| other != inside || to <= start || end <= from);
        if is_free {
            taken.push((inside, start, end));
            return start;
        }
    }
}
