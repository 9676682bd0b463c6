//! Route lookups: `RTM_GETROUTE` and its answer. Pure.
//!
//! Written here and not with a general route library: eight attributes matter, and an answer is
//! read where it lies, without an allocation.

use std::net::IpAddr;

use libc::RTA_DST;
use libc::RTA_GATEWAY;
use libc::RTA_IIF;
use libc::RTA_OIF;
use libc::RTA_PREFSRC;
use libc::RTA_SRC;
use libc::RTA_TABLE;
use libc::RTA_VIA;

use crate::Attr;
use crate::Malformed;
use crate::Message;
use crate::Request;

const AF_INET: u8 = libc::AF_INET as u8;
const AF_INET6: u8 = libc::AF_INET6 as u8;

/// One route lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteRequest {
    /// Destination.
    pub dst: IpAddr,
    /// Source, of the same family.
    pub src: Option<IpAddr>,
    /// Interface that the packet came in through; none for a packet of this host.
    pub iif: Option<u32>,
    /// `RTM_F_FIB_MATCH` (4.13): the kernel answers with the table entry that matched, not with the
    /// route of a packet, which has one next hop and one source.
    pub fib_match: bool,
}

/// What the kernel answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteReply {
    /// `RTN_*`.
    pub kind: u8,
    /// Next hop, if it is not the destination itself.
    pub gateway: Option<IpAddr>,
    /// Index of the interface that the packet leaves through.
    pub oif: Option<u32>,
    /// Preferred source.
    pub src: Option<IpAddr>,
    /// Destination of the entry; of the packet if the entry was not asked for.
    pub dst: IpAddr,
    /// Prefix length of `dst`.
    pub dst_len: u8,
    /// Number of the table.
    pub table: Option<u32>,
}

impl RouteRequest {
    /// A lookup by destination only.
    #[must_use]
    pub fn to(dst: IpAddr) -> Self {
        Self {
            dst,
            src: None,
            iif: None,
            fib_match: false,
        }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> Request {
        // Without RTM_F_LOOKUP_TABLE only IPv6 names the table that the entry is in.
        let (family, bits, mut flags) = match self.dst {
            IpAddr::V4(_) => (AF_INET, 32, libc::RTM_F_LOOKUP_TABLE),
            IpAddr::V6(_) => (AF_INET6, 128, 0),
        };
        if self.fib_match {
            flags |= libc::RTM_F_FIB_MATCH;
        }
        // struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags.
        let mut rtmsg = [0; 12];
        rtmsg[0] = family;
        rtmsg[1] = bits;
        rtmsg[2] = if self.src.is_some() { bits } else { 0 };
        rtmsg[8..].copy_from_slice(&flags.to_ne_bytes());
        let mut request = Request::new(libc::RTM_GETROUTE, 0, &rtmsg);
        let attrs = request.attrs().put_ip(RTA_DST, self.dst);
        if let Some(src) = self.src {
            attrs.put_ip(RTA_SRC, src);
        }
        if let Some(iif) = self.iif {
            attrs.put_u32(RTA_IIF, iif);
        }
        request
    }
}

impl RouteReply {
    /// Reads the answer to a [`RouteRequest`].
    ///
    /// # Errors
    /// If it is not one.
    pub fn parse(message: &Message<'_>) -> Result<Self, Malformed> {
        if message.kind != libc::RTM_NEWROUTE {
            return Err(Malformed("the answer to a route request is no route"));
        }
        let (rtmsg, attrs) = message.split::<12>()?;
        let mut reply = Self {
            kind: rtmsg[7],
            gateway: None,
            oif: None,
            src: None,
            // The default route has no RTA_DST.
            dst: match rtmsg[0] {
                AF_INET => IpAddr::from([0; 4]),
                AF_INET6 => IpAddr::from([0; 16]),
                _ => return Err(Malformed("a route is neither IPv4 nor IPv6")),
            },
            dst_len: rtmsg[1],
            // The header has no room for tables above 255; the attribute has.
            table: None,
        };
        for attr in attrs {
            let attr = attr?;
            match attr.kind {
                RTA_DST => reply.dst = attr.ip()?,
                RTA_OIF => reply.oif = Some(attr.u32()?),
                RTA_GATEWAY => reply.gateway = Some(attr.ip()?),
                RTA_VIA => reply.gateway = Some(via(&attr)?),
                RTA_PREFSRC => reply.src = Some(attr.ip()?),
                RTA_TABLE => reply.table = Some(attr.u32()?).filter(|table| *table != 0),
                _ => {}
            }
        }
        Ok(reply)
    }
}

/// `struct rtvia`, a gateway of the other family: its `AF_*`, then its address.
fn via(attr: &Attr<'_>) -> Result<IpAddr, Malformed> {
    let bytes = attr.bytes.get(2..).unwrap_or_default();
    Attr { bytes, ..*attr }.ip()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtmsg(family: u8, dst_len: u8, kind: u8, attrs: &[(u16, &[u8])]) -> Vec<u8> {
        let mut payload = vec![family, dst_len, 0, 0, 254, 2, 0, kind, 0, 0, 0, 0];
        for (kind, value) in attrs {
            payload.extend((4 + value.len() as u16).to_ne_bytes());
            payload.extend(kind.to_ne_bytes());
            payload.extend_from_slice(value);
            payload.resize(payload.len().next_multiple_of(4), 0);
        }
        payload
    }

    fn read(payload: &[u8]) -> Result<RouteReply, Malformed> {
        RouteReply::parse(&Message {
            kind: libc::RTM_NEWROUTE,
            flags: 0,
            seq: 1,
            payload,
        })
    }

    #[test]
    fn a_default_route_through_a_gateway_of_the_other_family() {
        let mut via = u16::from(AF_INET6).to_ne_bytes().to_vec();
        via.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let payload = rtmsg(
            AF_INET,
            0,
            libc::RTN_UNICAST,
            &[
                (RTA_TABLE, &1000_u32.to_ne_bytes()),
                (RTA_OIF, &3_u32.to_ne_bytes()),
                (RTA_VIA, &via),
                (99, b"of a later kernel"),
            ],
        );
        assert_eq!(
            read(&payload),
            Ok(RouteReply {
                kind: libc::RTN_UNICAST,
                gateway: Some("fe80::1".parse().unwrap()),
                oif: Some(3),
                src: None,
                dst: [0; 4].into(),
                dst_len: 0,
                table: Some(1000),
            })
        );
    }

    #[test]
    fn what_is_no_route_is_refused() {
        let good = rtmsg(AF_INET6, 64, 1, &[(RTA_DST, &[0; 16])]);
        assert!(read(&good).is_ok());
        for bad in [
            &good[..11],
            &rtmsg(7, 0, 1, &[]),
            &rtmsg(AF_INET, 8, 1, &[(RTA_DST, &[10])]),
            &rtmsg(AF_INET, 8, 1, &[(RTA_OIF, &[1, 0])]),
            &rtmsg(AF_INET, 8, 1, &[(RTA_VIA, &[1])]),
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
