//! A ctnetlink message as a record (`linux/netfilter/nfnetlink_conntrack.h`). Pure, and safe on
//! any bytes; attributes without a place in a record are skipped.

use netlink::Attr;
use netlink::Attrs;
use netlink::Malformed;
use netlink::Message;
use netlink::NLM_F_CREATE;
use netlink::ctnetlink::CTA_COUNTERS_BYTES;
use netlink::ctnetlink::CTA_COUNTERS_PACKETS;
use netlink::ctnetlink::CTA_TIMESTAMP_START;
use netlink::ctnetlink::DELETE;
use netlink::ctnetlink::NEW;
use netlink::ctnetlink::cta;
use shared::record::wire::Record;
use shared::record::wire::family;
use shared::record::wire::kind;
use shared::record::wire::known;

use super::tuple::Tuple;

/// Turns a message into a record without time and namespace, which are not in the message.
///
/// `None` if it is of another type. A new entry of an event and one of a dump differ only in the
/// flags: the former has `NLM_F_CREATE`, the latter becomes an update.
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
        // The kernel leaves out the default zone.
        known: known::ZONE,
        ..Record::BLANK
    };
    let (mut orig, mut reply, mut zone, mut counted) = (None, None, None, [None; 2]);
    for attr in attrs {
        let attr = attr?;
        match attr.kind {
            cta::TUPLE_ORIG => orig = Some(Tuple::parse(*family, attr.nested())?),
            cta::TUPLE_REPLY => reply = Some(Tuple::parse(*family, attr.nested())?),
            cta::STATUS => {
                record.status = attr.u32_be()?;
                record.known |= known::STATUS;
            }
            cta::MARK => {
                record.mark = attr.u32_be()?;
                record.known |= known::MARK;
            }
            cta::COUNTERS_ORIG => counted[0] = counters(attr.nested())?,
            cta::COUNTERS_REPLY => counted[1] = counters(attr.nested())?,
            cta::ID => record.ct_id = attr.u32_be()?.into(),
            cta::ZONE => zone = Some(attr.u16_be()?),
            cta::TIMESTAMP => {
                if let Some(start_ns) = find(attr.nested(), CTA_TIMESTAMP_START)? {
                    record.start_ns = start_ns.u64_be()?;
                    record.known |= known::START;
                }
            }
            _ => {}
        }
    }
    let (Some(orig), Some(reply)) = (orig, reply) else {
        return Err(Malformed("a conntrack entry lacks a tuple"));
    };
    orig.put(&mut record, false);
    reply.put(&mut record, true);
    record.zone = zone.or(orig.zone).or(reply.zone).unwrap_or(0);
    if let [Some(orig), Some(reply)] = counted {
        record.packets = [orig.0, reply.0];
        record.bytes = [orig.1, reply.1];
        record.known |= known::COUNTERS;
    }
    record.nat = record.nat_from_tuples();
    Ok(Some(record))
}

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

#[cfg(test)]
mod tests {
    use netlink::Messages;
    use proptest::prelude::any;
    use proptest::proptest;
    use shared::record::proto;
    use shared::record::wire::address_bytes;
    use shared::record::wire::nat;

    use super::*;

    /// An attribute, with `NLA_F_NESTED` where the kernel sets it.
    fn attr(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (4 + payload.len() as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn nest(kind: u16, inner: &[Vec<u8>]) -> Vec<u8> {
        attr(kind | 0x8000, &inner.concat())
    }

    fn message(kind: u16, flags: u16, family: u8, attrs: &[Vec<u8>]) -> Vec<u8> {
        let body = [vec![family, 0, 0, 0], attrs.concat()].concat();
        let mut bytes = (16 + body.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(body);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Option<Record>, Malformed> {
        parse(&Messages::new(bytes).next().unwrap().unwrap())
    }

    fn v4_tuple(kind: u16, src: [u8; 4], dst: [u8; 4], l4: &[Vec<u8>]) -> Vec<u8> {
        nest(
            kind,
            &[nest(1, &[attr(1, &src), attr(2, &dst)]), nest(2, l4)],
        )
    }

    fn udp(sport: u16, dport: u16) -> Vec<Vec<u8>> {
        vec![
            attr(1, &[proto::UDP]),
            attr(2, &sport.to_be_bytes()),
            attr(3, &dport.to_be_bytes()),
        ]
    }

    const CLIENT: [u8; 4] = [10, 0, 0, 1];
    const CALLED: [u8; 4] = [10, 0, 0, 2];
    const REAL: [u8; 4] = [10, 0, 0, 3];

    fn dnat() -> Vec<Vec<u8>> {
        vec![
            v4_tuple(cta::TUPLE_ORIG, CLIENT, CALLED, &udp(4000, 53)),
            v4_tuple(cta::TUPLE_REPLY, REAL, CLIENT, &udp(5353, 4000)),
        ]
    }

    #[test]
    fn a_new_connection_with_everything() {
        let mut attrs = dnat();
        let pair = |a: u64, b: u64| [attr(1, &a.to_be_bytes()), attr(2, &b.to_be_bytes())];
        attrs.extend([
            attr(cta::STATUS, &0x1a8_u32.to_be_bytes()),
            attr(cta::MARK, &7_u32.to_be_bytes()),
            attr(cta::ID, &99_u32.to_be_bytes()),
            attr(cta::ZONE, &3_u16.to_be_bytes()),
            nest(cta::COUNTERS_ORIG, &pair(1, 60)),
            nest(cta::COUNTERS_REPLY, &pair(2, 90)),
            nest(cta::TIMESTAMP, &[attr(1, &123_u64.to_be_bytes())]),
        ]);
        let record = read(&message(NEW, NLM_F_CREATE, 2, &attrs))
            .unwrap()
            .unwrap();
        assert_eq!(
            (record.r#type, record.proto, record.nat),
            (kind::NEW, 17, nat::DNAT)
        );
        assert_eq!(record.orig_dst, address_bytes(CALLED.into()));
        assert_eq!(record.reply_src, address_bytes(REAL.into()));
        assert_eq!((record.orig_sport, record.orig_dport), (4000, 53));
        assert_eq!((record.reply_sport, record.reply_dport), (5353, 4000));
        assert_eq!((record.status, record.mark, record.zone), (0x1a8, 7, 3));
        assert_eq!((record.ct_id, record.start_ns), (99, 123));
        assert_eq!((record.packets, record.bytes), ([1, 2], [60, 90]));
        let all = known::STATUS | known::MARK | known::ZONE | known::COUNTERS | known::START;
        assert_eq!(record.known, all);
    }

    #[test]
    fn what_the_message_does_not_say_is_not_known() {
        let record = read(&message(DELETE, 0, 2, &dnat())).unwrap().unwrap();
        assert_eq!((record.r#type, record.known), (kind::DESTROY, known::ZONE));
        let changed = read(&message(NEW, 0, 2, &dnat())).unwrap().unwrap();
        assert_eq!(changed.r#type, kind::UPDATE);
        assert_eq!(read(&message(NEW + 1, 0, 2, &dnat())), Ok(None));
    }

    #[test]
    fn icmpv6_has_id_type_and_code_and_a_zone_in_one_direction() {
        let ip = |a: u8, b: u8| nest(1, &[attr(3, &[a; 16]), attr(4, &[b; 16])]);
        let l4 = |kind: u8| {
            let id = attr(7, &55_u16.to_be_bytes());
            nest(
                2,
                &[
                    attr(1, &[proto::ICMPV6]),
                    id,
                    attr(8, &[kind]),
                    attr(9, &[0]),
                ],
            )
        };
        let attrs = [
            nest(
                cta::TUPLE_ORIG,
                &[ip(1, 2), l4(128), attr(3, &5_u16.to_be_bytes())],
            ),
            nest(cta::TUPLE_REPLY, &[ip(2, 1), l4(129)]),
        ];
        let record = read(&message(NEW, NLM_F_CREATE, 10, &attrs))
            .unwrap()
            .unwrap();
        assert_eq!((record.orig_sport, record.orig_dport), (55, 128 << 8));
        assert_eq!((record.zone, record.nat), (5, 0));
    }

    #[test]
    fn an_entry_that_lacks_something_is_malformed() {
        let whole = dnat();
        for attrs in [
            vec![whole[0].clone()],
            vec![whole[1].clone()],
            vec![nest(cta::TUPLE_ORIG, &[]), whole[1].clone()],
            vec![whole[0].clone(), whole[1].clone(), attr(cta::STATUS, &[1])],
        ] {
            assert!(read(&message(NEW, 0, 2, &attrs)).is_err());
        }
        assert!(read(&message(NEW, 0, 7, &whole)).is_err());
        assert!(
            read(&message(NEW, 0, 10, &whole)).is_err(),
            "an IPv4 tuple in IPv6"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            family in proptest::sample::select(vec![2_u8, 10, 0]),
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let _ = read(&message(NEW, 0, family, &[bytes]));
        }

        #[test]
        fn no_damage_makes_it_panic_or_invent_a_connection(
            at in 20_usize..140, value: u8, cut in 20_usize..200,
        ) {
            let mut bytes = message(NEW, NLM_F_CREATE, 2, &dnat());
            let at = at.min(bytes.len() - 1);
            bytes[at] = value;
            let _ = read(&bytes);
            let mut short = message(NEW, NLM_F_CREATE, 2, &dnat());
            if cut < short.len() {
                short.truncate(cut);
                short[..4].copy_from_slice(&(cut as u32).to_ne_bytes());
                assert!(read(&short).is_err());
            }
        }
    }
}
