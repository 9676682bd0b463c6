//! One direction of a connection, as requests name it. Pure.

use std::net::IpAddr;
use std::net::SocketAddr;

use crate::Writer;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// One direction of a connection of a protocol with ports, in the default zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// `IPPROTO_*`.
    pub proto: u8,
    /// Where its packets come from.
    pub src: SocketAddr,
    /// Where they go, of the same family: the kernel refuses a mixed tuple (`EINVAL`).
    pub dst: SocketAddr,
}

impl Tuple {
    /// A UDP flow between these ends.
    #[must_use]
    pub fn udp(src: impl Into<SocketAddr>, dst: impl Into<SocketAddr>) -> Self {
        Self {
            proto: 17,
            src: src.into(),
            dst: dst.into(),
        }
    }

    /// `AF_INET` or `AF_INET6`.
    pub(super) fn family(&self) -> u8 {
        match self.src {
            SocketAddr::V4(_) => AF_INET,
            SocketAddr::V6(_) => AF_INET6,
        }
    }

    /// Writes `enum ctattr_tuple` and those inside it.
    pub(super) fn write(&self, kind: u16, attrs: &mut Writer) {
        const CTA_TUPLE_IP: u16 = 1;
        const CTA_TUPLE_PROTO: u16 = 2;
        const CTA_IP_V4_SRC: u16 = 1;
        const CTA_IP_V4_DST: u16 = 2;
        const CTA_IP_V6_SRC: u16 = 3;
        const CTA_IP_V6_DST: u16 = 4;
        const CTA_PROTO_NUM: u16 = 1;
        const CTA_PROTO_SRC_PORT: u16 = 2;
        const CTA_PROTO_DST_PORT: u16 = 3;

        let put_ip = |attrs: &mut Writer, ip, v4_kind, v6_kind| {
            match ip {
                IpAddr::V4(v4) => attrs.put(v4_kind, &v4.octets()),
                IpAddr::V6(v6) => attrs.put(v6_kind, &v6.octets()),
            };
        };
        attrs.nest(kind, |tuple| {
            tuple.nest(CTA_TUPLE_IP, |ip| {
                put_ip(ip, self.src.ip(), CTA_IP_V4_SRC, CTA_IP_V6_SRC);
                put_ip(ip, self.dst.ip(), CTA_IP_V4_DST, CTA_IP_V6_DST);
            });
            tuple.nest(CTA_TUPLE_PROTO, |l4| {
                l4.put_u8(CTA_PROTO_NUM, self.proto);
                l4.put_u16_be(CTA_PROTO_SRC_PORT, self.src.port());
                l4.put_u16_be(CTA_PROTO_DST_PORT, self.dst.port());
            });
        });
    }
}
