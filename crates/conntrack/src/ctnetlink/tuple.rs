//! One direction of a connection in a ctnetlink message. Pure, and safe on any bytes.

use netlink::Attrs;
use netlink::Malformed;
use netlink::ctnetlink::cta_tuple;
use shared::record::wire::Record;
use shared::record::wire::address_bytes;
use shared::record::wire::family;

/// One direction, as `enum ctattr_tuple` and those inside it describe it.
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
        let (mut proto, mut src, mut dst, mut zone) = (None, None, None, None);
        let (mut sport, mut dport) = (0, [0; 2]);
        for attr in attrs {
            let attr = attr?;
            match attr.kind {
                cta_tuple::IP => [src, dst] = addresses(family, attr.nested())?,
                cta_tuple::PROTO => {
                    for attr in attr.nested() {
                        let attr = attr?;
                        match attr.kind {
                            cta_tuple::PROTO_NUM => proto = Some(attr.u8()?),
                            cta_tuple::PROTO_SRC_PORT
                            | cta_tuple::PROTO_ICMP_ID
                            | cta_tuple::PROTO_ICMPV6_ID => sport = attr.u16_be()?,
                            cta_tuple::PROTO_DST_PORT => dport = attr.array()?,
                            cta_tuple::PROTO_ICMP_TYPE | cta_tuple::PROTO_ICMPV6_TYPE => {
                                dport[0] = attr.u8()?;
                            }
                            cta_tuple::PROTO_ICMP_CODE | cta_tuple::PROTO_ICMPV6_CODE => {
                                dport[1] = attr.u8()?;
                            }
                            _ => {}
                        }
                    }
                }
                cta_tuple::ZONE => zone = Some(attr.u16_be()?),
                _ => {}
            }
        }
        let (Some(proto), Some(src), Some(dst)) = (proto, src, dst) else {
            return Err(Malformed(
                "a conntrack tuple lacks an address or its protocol",
            ));
        };
        Ok(Self {
            proto,
            src,
            dst,
            sport,
            dport,
            zone,
        })
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

/// `enum ctattr_ip`: source and destination, as a record holds them.
fn addresses(family: u8, attrs: Attrs<'_>) -> Result<[Option<[u8; 16]>; 2], Malformed> {
    let kinds = match family {
        family::IPV4 => [cta_tuple::IP_V4_SRC, cta_tuple::IP_V4_DST],
        _ => [cta_tuple::IP_V6_SRC, cta_tuple::IP_V6_DST],
    };
    let mut addresses = [None; 2];
    for attr in attrs {
        let attr = attr?;
        if let Some(at) = kinds.iter().position(|kind| *kind == attr.kind) {
            addresses[at] = Some(match family {
                family::IPV4 => address_bytes(attr.array::<4>()?.into()),
                _ => attr.array()?,
            });
        }
    }
    Ok(addresses)
}
