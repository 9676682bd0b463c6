//! A ctnetlink message as a record (`linux/netfilter/nfnetlink_conntrack.h`). Pure, and safe on
//! any bytes; attributes without a place in a record are skipped.

use shared::netlink::Attr;
use shared::netlink::Attrs;
use shared::netlink::Malformed;
use shared::netlink::Message;
use shared::netlink::NLM_F_CREATE;
use shared::record::wire::Record;
use shared::record::wire::address_bytes;
use shared::record::wire::family;
use shared::record::wire::kind;
use shared::record::wire::known;

use super::DELETE;
use super::NEW;

/// `enum ctattr_type`.
mod cta {
    pub(super) const TUPLE_ORIG: u16 = 1;
    pub(super) const TUPLE_REPLY: u16 = 2;
    pub(super) const STATUS: u16 = 3;
    pub(super) const MARK: u16 = 8;
    pub(super) const COUNTERS_ORIG: u16 = 9;
    pub(super) const COUNTERS_REPLY: u16 = 10;
    pub(super) const ID: u16 = 12;
    pub(super) const ZONE: u16 = 18;
    pub(super) const TIMESTAMP: u16 = 20;
}

/// Turns a message into a record without time and namespace, which the message does not tell.
///
/// `None` if it is of another type. A new entry of an event and one of a dump look alike but for
/// the flags: the former has `NLM_F_CREATE`, the latter comes out as an update.
///
/// # Errors
/// If an attribute is not what the kernel's header says, or a tuple is missing.
pub fn parse(message: &Message<'_>) -> Result<Option<Record>, Malformed> {
    let r#type = match message.kind {
        NEW if message.flags & NLM_F_CREATE != 0 => kind::NEW,
        NEW => kind::UPDATE,
        DELETE => kind::DESTROY,
        _ => return Ok(None),
    };
    let ([family, ..], attrs) = message.split::<4>()?;
    if !matches!(*family, family::IPV4 | family::IPV6) {
        return Err(Malformed("a conntrack entry is neither IPv4 nor IPv6"));
    }
    let mut record = Record {
        r#type,
        family: *family,
        // The kernel leaves out what is the default zone.
        known: known::ZONE,
        ..Record::BLANK
    };
    let mut parts = Parts::default();
    for attr in attrs {
        parts.take(&attr?, &mut record)?;
    }
    let (orig, reply) = parts
        .orig
        .zip(parts.reply)
        .ok_or(Malformed("a conntrack entry lacks a tuple"))?;
    orig.put(&mut record, false);
    reply.put(&mut record, true);
    if let Some(zone) = parts.zone.or(orig.zone).or(reply.zone) {
        record.zone = zone;
    }
    if let (Some(orig), Some(reply)) = (parts.counters[0], parts.counters[1]) {
        record.packets = [orig.0, reply.0];
        record.bytes = [orig.1, reply.1];
        record.known |= known::COUNTERS;
    }
    record.nat = record.nat_from_tuples();
    Ok(Some(record))
}

/// What only makes sense together.
#[derive(Default)]
struct Parts {
    orig: Option<Tuple>,
    reply: Option<Tuple>,
    zone: Option<u16>,
    counters: [Option<(u64, u64)>; 2],
}

impl Parts {
    fn take(&mut self, attr: &Attr<'_>, record: &mut Record) -> Result<(), Malformed> {
        match attr.kind {
            cta::TUPLE_ORIG => self.orig = Some(Tuple::parse(record.family, attr.nested())?),
            cta::TUPLE_REPLY => self.reply = Some(Tuple::parse(record.family, attr.nested())?),
            cta::STATUS => {
                record.status = attr.u32_be()?;
                record.known |= known::STATUS;
            }
            cta::MARK => {
                record.mark = attr.u32_be()?;
                record.known |= known::MARK;
            }
            cta::COUNTERS_ORIG => self.counters[0] = counters(attr.nested())?,
            cta::COUNTERS_REPLY => self.counters[1] = counters(attr.nested())?,
            cta::ID => record.ct_id = attr.u32_be()?.into(),
            cta::ZONE => self.zone = Some(attr.u16_be()?),
            cta::TIMESTAMP => {
                if let Some(start_ns) = find(attr.nested(), CTA_TIMESTAMP_START)? {
                    record.start_ns = start_ns.u64_be()?;
                    record.known |= known::START;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

const CTA_TIMESTAMP_START: u16 = 1;
const CTA_COUNTERS_PACKETS: u16 = 1;
const CTA_COUNTERS_BYTES: u16 = 2;

fn counters(attrs: Attrs<'_>) -> Result<Option<(u64, u64)>, Malformed> {
    let packets = find(attrs.clone(), CTA_COUNTERS_PACKETS)?;
    let bytes = find(attrs, CTA_COUNTERS_BYTES)?;
    match (packets, bytes) {
        (Some(packets), Some(bytes)) => Ok(Some((packets.u64_be()?, bytes.u64_be()?))),
        _ => Ok(None),
    }
}

fn find(attrs: Attrs<'_>, kind: u16) -> Result<Option<Attr<'_>>, Malformed> {
    for attr in attrs {
        let attr = attr?;
        if attr.kind == kind {
            return Ok(Some(attr));
        }
    }
    Ok(None)
}

/// One direction, as `enum ctattr_tuple` and those inside it tell it.
#[derive(Default)]
struct Tuple {
    proto: u8,
    src: [u8; 16],
    dst: [u8; 16],
    /// ICMP: the id.
    sport: u16,
    /// ICMP: type and code.
    dport: [u8; 2],
    zone: Option<u16>,
}

impl Tuple {
    fn parse(family: u8, attrs: Attrs<'_>) -> Result<Self, Malformed> {
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

    fn put(&self, record: &mut Record, is_reply: bool) {
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

#[cfg(test)]
mod tests;
