//! One direction of a connection in a ctnetlink message. Pure, and safe on any bytes.

use netlink::Attrs;
use netlink::Malformed;
use netlink::ctnetlink::cta_tuple;
use shared::record::wire::Record;
use shared::record::wire::address_bytes;
use shared::record::wire::family;

/// One direction, as `enum ctattr_tuple` and those inside it describe it.
#[derive(Default)]
pub(super) struct Tuple {
    proto: u8,
    src: [u8; 16],
    dst: [u8; 16],
    /// ICMP: the id.
    sport: u16,
    /// ICMP: type and code.
    dport: [u8; 2],
    pub(super) zone: Option<u16>,
}

impl Tuple {
    pub(super) fn parse(family: u8, attrs: Attrs<'_>) -> Result<Self, Malformed> {
        let mut tuple = Self::default();
        let (mut ip, mut l4) = (false, false);
        for attr in attrs {
            let attr = attr?;
            match attr.kind {
                cta_tuple::IP => ip = tuple.take_ip(family, attr.nested())?,
                cta_tuple::PROTO => l4 = tuple.take_proto(attr.nested())?,
                cta_tuple::ZONE => tuple.zone = Some(attr.u16_be()?),
                _ => {}
            }
        }
        if ip && l4 {
            Ok(tuple)
        } else {
            Err(Malformed(
                "a conntrack tuple lacks an address or its protocol",
            ))
        }
    }

    /// `enum ctattr_ip`; true if both addresses of this family are there.
    fn take_ip(&mut self, family: u8, attrs: Attrs<'_>) -> Result<bool, Malformed> {
        let (mut src, mut dst) = (None, None);
        let (src_kind, dst_kind) = match family {
            family::IPV4 => (cta_tuple::IP_V4_SRC, cta_tuple::IP_V4_DST),
            _ => (cta_tuple::IP_V6_SRC, cta_tuple::IP_V6_DST),
        };
        for attr in attrs {
            let attr = attr?;
            let address = match attr.kind {
                kind if kind == src_kind => &mut src,
                kind if kind == dst_kind => &mut dst,
                _ => continue,
            };
            *address = Some(match family {
                family::IPV4 => address_bytes(attr.array::<4>()?.into()),
                _ => attr.array()?,
            });
        }
        let Some((src, dst)) = src.zip(dst) else {
            return Ok(false);
        };
        (self.src, self.dst) = (src, dst);
        Ok(true)
    }

    /// `enum ctattr_l4proto`; true if the protocol's number is there.
    fn take_proto(&mut self, attrs: Attrs<'_>) -> Result<bool, Malformed> {
        let mut has_number = false;
        for attr in attrs {
            let attr = attr?;
            match attr.kind {
                cta_tuple::PROTO_NUM => {
                    self.proto = attr.u8()?;
                    has_number = true;
                }
                cta_tuple::PROTO_SRC_PORT => self.sport = attr.u16_be()?,
                cta_tuple::PROTO_DST_PORT => self.dport = attr.array()?,
                cta_tuple::PROTO_ICMP_ID | cta_tuple::PROTO_ICMPV6_ID => {
                    self.sport = attr.u16_be()?
                }
                cta_tuple::PROTO_ICMP_TYPE | cta_tuple::PROTO_ICMPV6_TYPE => {
                    self.dport[0] = attr.u8()?
                }
                cta_tuple::PROTO_ICMP_CODE | cta_tuple::PROTO_ICMPV6_CODE => {
                    self.dport[1] = attr.u8()?
                }
                _ => {}
            }
        }
        Ok(has_number)
    }

    pub(super) fn put(&self, record: &mut Record, is_reply: bool) {
        let dport = u16::from_be_bytes(self.dport);
        if is_reply {
            (record.reply_src, record.reply_dst) = (self.src, self.dst);
            (record.reply_sport, record.reply_dport) = (self.sport, dport);
        } else {
            record.proto = self.proto;
            (record.orig_src, record.orig_dst) = (self.src, self.dst);
            (record.orig_sport, record.orig_dport) = (self.sport, dport);
        }
    }
}
