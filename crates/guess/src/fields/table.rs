//! Every place that can be measured, with what is known of it. Data only.

use shared::offsets::Field;

use super::Content;
use super::Experiment;
use super::Place;
use super::Spec;
use super::Struct;

const fn field(field: Field, inside: Struct, align_bytes: u32, experiment: Experiment) -> Spec {
    Spec {
        place: Place::Field(field),
        inside,
        align_bytes,
        content: Content::Value,
        experiment,
    }
}

const fn pointer(
    place: Place,
    inside: Struct,
    to: Struct,
    proof: &'static [Place],
    experiment: Experiment,
) -> Spec {
    let content = Content::Pointer {
        to,
        tag_mask: match place {
            // NFCT_INFOMASK: `enum ip_conntrack_info` of this packet.
            Place::Field(Field::SkBuffNfct) => 7,
            _ => 0,
        },
        proof,
    };
    Spec {
        place,
        inside,
        align_bytes: 8,
        content,
        experiment,
    }
}

const fn header(field: Field) -> Spec {
    Spec {
        place: Place::Field(field),
        inside: Struct::SkBuff,
        align_bytes: 2,
        content: Content::Index {
            of: Place::Field(Field::SkBuffHead),
        },
        experiment: Experiment::Sockets,
    }
}

const PROVES_NF_CONN: &[Place] = &[
    Place::Field(Field::NfConnTupleOrig),
    Place::Field(Field::NfConnTupleReply),
];
const PROVES_NET: &[Place] = &[Place::Field(Field::NetNsInum)];
const PROVES_SOCK: &[Place] = &[
    Place::Field(Field::SockNum),
    Place::Field(Field::InetSockSport),
];
const PROVES_SOCKET: &[Place] = &[Place::Field(Field::SocketSk), Place::SocketIno];
const PROVES_BUFFER: &[Place] = &[
    Place::Field(Field::SkBuffTransportHeader),
    Place::Field(Field::SkBuffNetworkHeader),
];

/// Every place that can be measured.
pub const SPECS: &[Spec] = {
    use Experiment as E;
    use Field as F;
    use Place::Field as P;
    use Struct as S;
    &[
        pointer(
            P(F::SkBuffNfct),
            S::SkBuff,
            S::NfConn,
            PROVES_NF_CONN,
            E::Connections,
        ),
        pointer(P(F::SkBuffSk), S::SkBuff, S::Sock, PROVES_SOCK, E::Sockets),
        pointer(
            P(F::SkBuffHead),
            S::SkBuff,
            S::Buffer,
            PROVES_BUFFER,
            E::Sockets,
        ),
        header(F::SkBuffTransportHeader),
        header(F::SkBuffNetworkHeader),
        header(F::SkBuffMacHeader),
        field(F::NfConnTupleOrig, S::NfConn, 4, E::Connections),
        field(F::NfConnTupleReply, S::NfConn, 4, E::Connections),
        field(F::NfConnStatus, S::NfConn, 8, E::Connections),
        field(F::NfConnMark, S::NfConn, 4, E::Connections),
        field(F::NfConnZone, S::NfConn, 2, E::Connections),
        field(F::NfConnTimeout, S::NfConn, 4, E::Connections),
        pointer(
            P(F::NfConnCtNet),
            S::NfConn,
            S::Net,
            PROVES_NET,
            E::Connections,
        ),
        field(F::NetNsInum, S::Net, 4, E::Connections),
        field(F::SockDaddr, S::Sock, 4, E::Sockets),
        field(F::SockRcvSaddr, S::Sock, 4, E::Sockets),
        field(F::SockDport, S::Sock, 2, E::Sockets),
        field(F::SockNum, S::Sock, 2, E::Sockets),
        field(F::SockFamily, S::Sock, 2, E::Families),
        pointer(P(F::SockNet), S::Sock, S::Net, PROVES_NET, E::Sockets),
        field(F::SockV6Daddr, S::Sock, 4, E::Sockets),
        field(F::SockV6RcvSaddr, S::Sock, 4, E::Sockets),
        field(F::InetSockSaddr, S::Sock, 4, E::Sockets),
        field(F::InetSockSport, S::Sock, 2, E::Sockets),
        field(F::TcpSockSrttUs, S::Sock, 4, E::Streams),
        field(F::TcpSockMdevUs, S::Sock, 4, E::Streams),
        pointer(
            Place::SockSocket,
            S::Sock,
            S::Socket,
            PROVES_SOCKET,
            E::Sockets,
        ),
        Spec {
            place: Place::SocketIno,
            inside: S::Socket,
            align_bytes: 8,
            content: Content::Value,
            experiment: E::Sockets,
        },
        Spec {
            place: P(F::SocketSk),
            inside: S::Socket,
            align_bytes: 8,
            content: Content::Back,
            experiment: E::Sockets,
        },
        field(F::Flowi4Saddr, S::Flowi4, 4, E::Lookups4),
        field(F::Flowi4Daddr, S::Flowi4, 4, E::Lookups4),
        field(F::Flowi4Sport, S::Flowi4, 2, E::Lookups4),
        field(F::Flowi4Dport, S::Flowi4, 2, E::Lookups4),
        field(F::Flowi6Saddr, S::Flowi6, 4, E::Lookups6),
        field(F::Flowi6Daddr, S::Flowi6, 4, E::Lookups6),
        field(F::Flowi6Sport, S::Flowi6, 2, E::Lookups6),
        field(F::Flowi6Dport, S::Flowi6, 2, E::Lookups6),
    ]
};
