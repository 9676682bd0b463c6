//! One direction of a connection in a ctnetlink message. Pure, and safe on any bytes.

use netlink::Attrs;
use netlink::Malformed;
use shared::record::wire::Record;
use shared::record::wire::address_bytes;
use shared::record::wire::family;

/// One direction, as `enum ctattr_tuple` and those inside it tell it.
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
        const CTA_TUPLE_IP: u16 = 1;
        const CTA_TUPLE_PROTO: u16 = 2;
        const CTA_TUPLE_ZONE: u16 = 3;

        let mut tuple = Self::default();
        let (mut ip, mut l4) = (false, false);
        for attr in attrs {
            let attr = attr?;
            match attr.kind {
                CTA_TUPLE_IP => ip = tuple.take_ip(family, attr.nested())?,
                CTA_TUPLE_PROTO => l4 = tuple.take_proto(attr.nested())?,
                CTA_TUPLE_ZONE => tuple.zone = Some(attr.u16_be()?),
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

    /// `enum ctattr_ip`; true if both addresses of this family were there.
    fn take_ip(&mut self, family: u8, attrs: Attrs<'_>) -> Result<bool, Malformed> {
        let (mut src, mut dst) = (None, None);
        for attr in attrs {
            let attr = attr?;
            match (family, attr.kind) {
                (family::IPV4, 1) => src = Some(address_bytes(attr.array::<4>()?.into())),
                (family::IPV4, 2) => dst = Some(address_bytes(attr.array::<4>()?.into())),
                (family::IPV6, 3) => src = Some(attr.array()?),
                (family::IPV6, 4) => dst = Some(attr.array()?),
                _ => {}
            }
        }
        let Some((src, dst)) = src.zip(dst) else {
            return Ok(false);
        };
        (self.src, self.dst) = (src, dst);
        Ok(true)
    }

    /// `enum ctattr_l4proto`; true if the protocol's number was there.
    fn take_proto(&mut self, attrs: Attrs<'_>) -> Result<bool, Malformed> {
        let mut has_number = false;
        for attr in attrs {
            let attr = attr?;
            match attr.kind {
                1 => {
                    self.proto = attr.u8()?;
                    has_number = true;
                }
                2 => self.sport = attr.u16_be()?,
                3 => self.dport = attr.array()?,
                // The id, the type and the code of ICMP and of ICMPv6.
                4 | 7 => self.sport = attr.u16_be()?,
                5 | 8 => self.dport[0] = attr.u8()?,
                6 | 9 => self.dport[1] = attr.u8()?,
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
