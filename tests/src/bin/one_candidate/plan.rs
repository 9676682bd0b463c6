//! What each peer searches, in which order, from where and how far, as data.

/// A struct that offsets count in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    Sock,
    NfConn,
}

/// What user space knows of its own event. Addresses and ports are as in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    pub saddr: u32,
    pub daddr: u32,
    pub sport: u16,
    pub dport: u16,
    pub netns: u32,
    pub rtt_us: u32,
    pub rttvar_us: u32,
}

/// Where a search begins.
#[derive(Debug, Clone, Copy)]
pub enum Start {
    At(u64),
    /// This many bytes behind a field that was found before.
    Behind(&'static str, u64),
}

/// The search for one value.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// The fields that a match gives, and their distance from it.
    pub fields: &'static [(&'static str, u64)],
    pub object: Object,
    /// How the value is reached.
    pub kind: Kind,
    pub start: Start,
    /// The first offset that is not tried.
    pub bound: u64,
    /// Bytes that a match occupies: no later search tries them.
    pub occupies: u64,
}

/// How a value is reached, and what it must be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// It lies at the candidate.
    Value {
        bytes: u64,
        align: u64,
        must_be: fn(&Expected) -> u64,
    },
    /// A `struct net *` lies at the candidate; the distance of the number behind it is searched, too.
    NetAndInum,
    /// A `struct net *` lies at the candidate; the distance of the number is known.
    Net,
    /// The smoothed round-trip time lies at the candidate, and its deviation right behind.
    RoundTrip,
}

/// How a peer makes an event that shows a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// A new connection each time.
    Connect,
    /// A system call on the one connection that there is.
    Call,
}

/// A peer.
#[derive(Debug)]
pub struct Peer {
    pub trigger: Trigger,
    /// It tries only aligned offsets, and skips the fields that it has found.
    pub skips: bool,
    /// Number of attempts.
    pub attempts: u32,
    /// The steps for a socket, and for a tracked connection. The latter are tried even if the former fail;
    /// the peer itself would stop.
    pub socket: &'static [Step],
    pub conntrack: &'static [Step],
    /// Steps before `conntrack` if only that is requested.
    pub inum: &'static [Step],
}

pub const FAMILY: &str = "sock.skc_family";
pub const NET: &str = "sock.skc_net";
pub const INUM: &str = "net.ns.inum";
const TUPLE_ORIG: &str = "nf_conn.tuplehash[0].tuple";

/// The bound of most fields (`offset_guess_threshold`), and of those far down in a socket.
const NEAR: u64 = 400;
const FAR: u64 = 2000;
const AF_INET: u64 = 2;
/// `IPS_CONFIRMED | IPS_SRC_NAT_DONE | IPS_DST_NAT_DONE`: of a flow where NAT is in force.
const NEW_FLOW_STATUS: u64 = 0x188;
/// `sizeof(struct nf_conntrack_tuple)` and `sizeof(struct nf_conntrack_tuple_hash)`, of which two
/// follow one another.
const TUPLE: u64 = 40;
const TUPLE_HASH: u64 = 56;

const fn value(
    fields: &'static [(&'static str, u64)],
    bytes: u64,
    start: Start,
    bound: u64,
    must_be: fn(&Expected) -> u64,
) -> Step {
    Step {
        fields,
        object: Object::Sock,
        kind: Kind::Value {
            bytes,
            align: bytes,
            must_be,
        },
        start,
        bound,
        occupies: bytes,
    }
}

const SADDR: Step = value(
    &[("sock.skc_rcv_saddr", 0)],
    4,
    Start::At(0),
    NEAR,
    |expected| expected.saddr.into(),
);
const DADDR: Step = value(
    &[("sock.skc_daddr", 0)],
    4,
    Start::At(0),
    NEAR,
    |expected| expected.daddr.into(),
);
const FAMILY_FROM_0: Step = value(&[(FAMILY, 0)], 2, Start::At(0), NEAR, |_| AF_INET);
const FAMILY_FROM_DPORT: Step = Step {
    start: Start::Behind("sock.skc_dport", 0),
    ..FAMILY_FROM_0
};
const SPORT: Step = value(
    &[("inet_sock.inet_sport", 0)],
    2,
    Start::Behind(FAMILY, 0),
    FAR,
    |expected| expected.sport.into(),
);
const DPORT: Step = value(
    &[("sock.skc_dport", 0)],
    2,
    Start::At(0),
    NEAR,
    |expected| expected.dport.into(),
);
/// Both ports side by side: the own port, in host order, behind the other's.
const PORT_PAIR: Step = Step {
    kind: Kind::Value {
        bytes: 4,
        align: 2,
        must_be: |expected| {
            let [a, b] = expected.dport.to_ne_bytes();
            let [c, d] = u16::from_be(expected.sport).to_ne_bytes();
            u32::from_ne_bytes([a, b, c, d]).into()
        },
    },
    fields: &[("sock.skc_dport", 0), ("sock.skc_num", 2)],
    occupies: 4,
    ..DPORT
};
const NETNS: Step = Step {
    fields: &[(NET, 0)],
    object: Object::Sock,
    kind: Kind::NetAndInum,
    start: Start::At(0),
    bound: NEAR,
    occupies: 8,
};
const NETNS_FROM_48: Step = Step {
    start: Start::At(48),
    ..NETNS
};
const ROUND_TRIP: Step = Step {
    fields: &[("tcp_sock.srtt_us", 0), ("tcp_sock.mdev_us", 4)],
    object: Object::Sock,
    kind: Kind::RoundTrip,
    start: Start::At(1280),
    bound: FAR,
    occupies: 8,
};
const CT_ORIGIN: Step = Step {
    object: Object::NfConn,
    occupies: TUPLE_HASH,
    ..value(&[(TUPLE_ORIG, 0)], 4, Start::At(0), NEAR, |expected| {
        expected.saddr.into()
    })
};
const CT_REPLY: Step = Step {
    object: Object::NfConn,
    occupies: TUPLE,
    ..value(
        &[("nf_conn.tuplehash[1].tuple", 0)],
        4,
        Start::Behind(TUPLE_ORIG, TUPLE),
        NEAR,
        |expected| expected.daddr.into(),
    )
};
const CT_STATUS: Step = Step {
    object: Object::NfConn,
    ..value(&[("nf_conn.status", 0)], 4, Start::At(0), NEAR, |_| {
        NEW_FLOW_STATUS
    })
};
const CT_NET: Step = Step {
    fields: &[("nf_conn.ct_net", 0)],
    object: Object::NfConn,
    kind: Kind::Net,
    ..NETNS
};

/// tcptracer-bpf, the origin of the others. It does not search tracked connections.
pub const TCPTRACER: Peer = Peer {
    trigger: Trigger::Connect,
    skips: false,
    attempts: 1,
    socket: &[SADDR, DADDR, FAMILY_FROM_0, SPORT, DPORT, NETNS],
    conntrack: &[],
    inum: &[],
};

/// datadog-agent, since it requires the round-trip times side by side; with the status of a tracked
/// connection, which it searched until early 2024.
pub const DATADOG: Peer = Peer {
    trigger: Trigger::Call,
    skips: true,
    attempts: 5,
    socket: &[
        SADDR,
        DADDR,
        PORT_PAIR,
        FAMILY_FROM_DPORT,
        NETNS_FROM_48,
        ROUND_TRIP,
    ],
    conntrack: &[CT_ORIGIN, CT_REPLY, CT_STATUS, CT_NET],
    inum: &[NETNS_FROM_48],
};
