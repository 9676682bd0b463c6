//! One direction of a connection, as requests name it. Pure.

use std::net::SocketAddr;

use crate::Writer;

use super::uapi::cta_tuple;

/// One direction of a connection of a protocol with ports, in the default zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// `IPPROTO_*`.
    pub proto: u8,
    /// Source.
    pub src: SocketAddr,
    /// Destination, of the same family: the kernel refuses a mixed tuple (`EINVAL`).
    pub dst: SocketAddr,
}

impl Tuple {
    /// A UDP flow between these ends.
    #[must_use]
    pub fn udp(src: impl Into<SocketAddr>, dst: impl Into<SocketAddr>) -> Self {
        Self {
            proto: libc::IPPROTO_UDP as u8,
            src: src.into(),
            dst: dst.into(),
        }
    }

    /// `AF_INET` or `AF_INET6`.
    pub(super) fn family(&self) -> u8 {
        match self.src {
            SocketAddr::V4(_) => libc::AF_INET as u8,
            SocketAddr::V6(_) => libc::AF_INET6 as u8,
        }
    }

    /// Writes it as an attribute of type `kind`.
    pub(super) fn write(&self, kind: u16, attrs: &mut Writer) {
        let either = |end: SocketAddr, v4, v6| if end.is_ipv4() { v4 } else { v6 };
        let src = either(self.src, cta_tuple::IP_V4_SRC, cta_tuple::IP_V6_SRC);
        let dst = either(self.dst, cta_tuple::IP_V4_DST, cta_tuple::IP_V6_DST);
        attrs.nest(kind, |tuple| {
            tuple.nest(cta_tuple::IP, |ip| {
                ip.put_ip(src, self.src.ip()).put_ip(dst, self.dst.ip());
            });
            tuple.nest(cta_tuple::PROTO, |l4| {
                l4.put_u8(cta_tuple::PROTO_NUM, self.proto)
                    .put_u16_be(cta_tuple::PROTO_SRC_PORT, self.src.port())
                    .put_u16_be(cta_tuple::PROTO_DST_PORT, self.dst.port());
            });
        });
    }
}
