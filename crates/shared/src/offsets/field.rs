//! Names of the struct fields whose offsets Sextant measures: the kernel's own paths, once. The names are a
//! contract, because every output has them; their order here is not.

use std::fmt;
use std::str::FromStr;

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $path:literal, $size:literal;)*) => {
        /// A field of a kernel struct.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field { $($(#[$doc])* $variant,)* }

        impl Field {
            /// Every field that is known.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The kernel's own path: `struct.member.member`.
            #[must_use]
            pub const fn path(self) -> &'static str {
                match self { $(Self::$variant => $path,)* }
            }

            /// Bytes that a reader of this field copies.
            #[must_use]
            pub const fn size_bytes(self) -> u32 {
                match self { $(Self::$variant => $size,)* }
            }
        }
    };
}

fields! {
    /// `struct nf_conn *` with the packet's `enum ip_conntrack_info` in its low three bits.
    SkBuffNfct = "sk_buff._nfct", 8;
    /// `struct nf_conntrack_tuple` of the original direction.
    NfConnTupleOrig = "nf_conn.tuplehash[0].tuple", 40;
    /// `struct nf_conntrack_tuple` of the reply direction.
    NfConnTupleReply = "nf_conn.tuplehash[1].tuple", 40;
    /// `unsigned long` of `IPS_*` bits.
    NfConnStatus = "nf_conn.status", 8;
    /// `struct net *`.
    NfConnCtNet = "nf_conn.ct_net", 8;
    /// `u32`, the connection mark.
    NfConnMark = "nf_conn.mark", 4;
    /// `struct nf_conntrack_zone`, whose first member is the `u16` id.
    NfConnZone = "nf_conn.zone", 2;
    /// `u32`: when the connection expires, in jiffies, the low half of them. (Since 4.9.)
    NfConnTimeout = "nf_conn.timeout", 4;
    /// `unsigned int`, the namespace's inode number as `/proc/<pid>/ns/net` shows it.
    NetNsInum = "net.ns.inum", 4;
    /// `struct sock *` of the sender.
    SkBuffSk = "sk_buff.sk", 8;
    /// Start of the packet's buffer.
    SkBuffHead = "sk_buff.head", 8;
    /// `u16`, counted from `head`, as the next two.
    SkBuffTransportHeader = "sk_buff.transport_header", 2;
    /// See `transport_header`.
    SkBuffNetworkHeader = "sk_buff.network_header", 2;
    /// See `transport_header`.
    SkBuffMacHeader = "sk_buff.mac_header", 2;
    /// `__be32`, the peer's IPv4 address.
    SockDaddr = "sock.skc_daddr", 4;
    /// `__be32`, the IPv4 address that the socket receives for.
    SockRcvSaddr = "sock.skc_rcv_saddr", 4;
    /// `__be16`, the peer's port.
    SockDport = "sock.skc_dport", 2;
    /// `u16` in host order, the own port.
    SockNum = "sock.skc_num", 2;
    /// `unsigned short`, `AF_INET` and the like.
    SockFamily = "sock.skc_family", 2;
    /// `struct net *`.
    SockNet = "sock.skc_net", 8;
    /// `struct in6_addr`, the peer's IPv6 address.
    SockV6Daddr = "sock.skc_v6_daddr", 16;
    /// `struct in6_addr`, the IPv6 address that the socket receives for.
    SockV6RcvSaddr = "sock.skc_v6_rcv_saddr", 16;
    /// `__be32`, the IPv4 address that the socket sends from.
    InetSockSaddr = "inet_sock.inet_saddr", 4;
    /// `__be16`, the own port.
    InetSockSport = "inet_sock.inet_sport", 2;
    /// `u32`, the smoothed round-trip time in eighths of a microsecond.
    TcpSockSrttUs = "tcp_sock.srtt_us", 4;
    /// `u32`, its mean deviation in quarters of a microsecond.
    TcpSockMdevUs = "tcp_sock.mdev_us", 4;
    /// `struct sock *`.
    SocketSk = "socket.sk", 8;
    /// `__be32`.
    Flowi4Saddr = "flowi4.saddr", 4;
    /// `__be32`.
    Flowi4Daddr = "flowi4.daddr", 4;
    /// `__be16`.
    Flowi4Sport = "flowi4.fl4_sport", 2;
    /// `__be16`.
    Flowi4Dport = "flowi4.fl4_dport", 2;
    /// `struct in6_addr`.
    Flowi6Saddr = "flowi6.saddr", 16;
    /// `struct in6_addr`.
    Flowi6Daddr = "flowi6.daddr", 16;
    /// `__be16`.
    Flowi6Sport = "flowi6.fl6_sport", 2;
    /// `__be16`.
    Flowi6Dport = "flowi6.fl6_dport", 2;
}

impl Field {
    /// The fields of a tracked connection: `--fields conntrack`.
    pub const CONNTRACK: &'static [Self] = &[
        Self::SkBuffNfct,
        Self::NfConnTupleOrig,
        Self::NfConnTupleReply,
        Self::NfConnStatus,
        Self::NfConnCtNet,
        Self::NfConnMark,
        Self::NfConnZone,
        Self::NfConnTimeout,
        Self::NetNsInum,
    ];

    /// The fields of a socket: `--fields socket`.
    pub const SOCKET: &'static [Self] = &[
        Self::SkBuffSk,
        Self::SocketSk,
        Self::SockDaddr,
        Self::SockRcvSaddr,
        Self::SockDport,
        Self::SockNum,
        Self::SockFamily,
        Self::SockNet,
        Self::SockV6Daddr,
        Self::SockV6RcvSaddr,
        Self::InetSockSaddr,
        Self::InetSockSport,
        Self::TcpSockSrttUs,
        Self::TcpSockMdevUs,
        Self::NetNsInum,
    ];
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.path())
    }
}

impl FromStr for Field {
    type Err = UnknownField;

    fn from_str(path: &str) -> Result<Self, UnknownField> {
        Self::ALL
            .iter()
            .copied()
            .find(|field| field.path() == path)
            .ok_or(UnknownField)
    }
}

/// A path that names no field of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown field")]
pub struct UnknownField;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_parses_back_and_is_unique() {
        for field in Field::ALL {
            assert_eq!(field.path().parse(), Ok(*field));
        }
        assert_eq!("nf_conn.nope".parse::<Field>(), Err(UnknownField));
    }
}
