//! Every place that can be measured, with what is known of it. Data only.

use shared::offsets::Field;

use super::place::Place;
use super::spec::Content;
use super::spec::Content::Back;
use super::spec::Content::Value;
use super::spec::Experiment;
use super::spec::Spec;
use super::structs::Struct;

/// A row: place, struct that contains it, alignment in bytes, experiment that shows it, content.
macro_rules! specs {
    ($($place:expr, $inside:ident, $align:literal, $experiment:ident, $content:expr;)*) => {
        &[$(Spec {
            place: $place,
            inside: Struct::$inside,
            align_bytes: $align,
            content: $content,
            experiment: Experiment::$experiment,
        },)*]
    };
}

const fn pointer(to: Struct, tag_mask: u64, proof: &'static [Place]) -> Content {
    Content::Pointer {
        to,
        tag_mask,
        proof,
    }
}

/// The low bits of `_nfct` hold the packet's `enum ip_conntrack_info`.
const NFCT_INFOMASK: u64 = 7;
const HEADER: Content = Content::Index {
    of: Place::Field(Field::SkBuffHead),
};

/// Every place that can be measured.
pub const SPECS: &[Spec] = {
    use Field as F;
    use Place::Field as P;
    use Struct as S;
    // What proves a pointer: all of these must be found behind it.
    const TUPLES: &[Place] = &[P(F::NfConnTupleOrig), P(F::NfConnTupleReply)];
    const NUMBER: &[Place] = &[P(F::NetNsInum)];
    const PORTS: &[Place] = &[P(F::SockNum), P(F::InetSockSport)];
    const INODE_AND_BACK: &[Place] = &[P(F::SocketSk), Place::SocketIno];
    const HEADERS: &[Place] = &[P(F::SkBuffTransportHeader), P(F::SkBuffNetworkHeader)];
    specs! {
        P(F::SkBuffNfct),            SkBuff, 8, Connections, pointer(S::NfConn, NFCT_INFOMASK, TUPLES);
        P(F::SkBuffSk),              SkBuff, 8, Sockets,     pointer(S::Sock, 0, PORTS);
        P(F::SkBuffHead),            SkBuff, 8, Sockets,     pointer(S::Buffer, 0, HEADERS);
        P(F::SkBuffTransportHeader), SkBuff, 2, Sockets,     HEADER;
        P(F::SkBuffNetworkHeader),   SkBuff, 2, Sockets,     HEADER;
        P(F::SkBuffMacHeader),       SkBuff, 2, Sockets,     HEADER;
        P(F::NfConnTupleOrig),       NfConn, 4, Connections, Value;
        P(F::NfConnTupleReply),      NfConn, 4, Connections, Value;
        P(F::NfConnStatus),          NfConn, 8, Connections, Value;
        P(F::NfConnMark),            NfConn, 4, Connections, Value;
        P(F::NfConnZone),            NfConn, 2, Connections, Value;
        P(F::NfConnTimeout),         NfConn, 4, Connections, Value;
        P(F::NfConnCtNet),           NfConn, 8, Connections, pointer(S::Net, 0, NUMBER);
        P(F::NetNsInum),             Net,    4, Connections, Value;
        P(F::SockDaddr),             Sock,   4, Sockets,     Value;
        P(F::SockRcvSaddr),          Sock,   4, Sockets,     Value;
        P(F::SockDport),             Sock,   2, Sockets,     Value;
        P(F::SockNum),               Sock,   2, Sockets,     Value;
        P(F::SockFamily),            Sock,   2, Families,    Value;
        P(F::SockNet),               Sock,   8, Sockets,     pointer(S::Net, 0, NUMBER);
        P(F::SockV6Daddr),           Sock,   4, Sockets,     Value;
        P(F::SockV6RcvSaddr),        Sock,   4, Sockets,     Value;
        P(F::InetSockSaddr),         Sock,   4, Sockets,     Value;
        P(F::InetSockSport),         Sock,   2, Sockets,     Value;
        P(F::TcpSockSrttUs),         Sock,   4, Streams,     Value;
        P(F::TcpSockMdevUs),         Sock,   4, Streams,     Value;
        Place::SockSocket,           Sock,   8, Sockets,     pointer(S::Socket, 0, INODE_AND_BACK);
        Place::SocketIno,            Socket, 8, Sockets,     Value;
        P(F::SocketSk),              Socket, 8, Sockets,     Back;
        P(F::Flowi4Saddr),           Flowi4, 4, Lookups4,    Value;
        P(F::Flowi4Daddr),           Flowi4, 4, Lookups4,    Value;
        P(F::Flowi4Sport),           Flowi4, 2, Lookups4,    Value;
        P(F::Flowi4Dport),           Flowi4, 2, Lookups4,    Value;
        P(F::Flowi6Saddr),           Flowi6, 4, Lookups6,    Value;
        P(F::Flowi6Daddr),           Flowi6, 4, Lookups6,    Value;
        P(F::Flowi6Sport),           Flowi6, 2, Lookups6,    Value;
        P(F::Flowi6Dport),           Flowi6, 2, Lookups6,    Value;
    }
};
