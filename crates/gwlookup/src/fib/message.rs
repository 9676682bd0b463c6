//! The rtnetlink messages of a lookup: `RTM_GETROUTE`, `RTM_GETLINK` and their answers. Pure.
//!
//! Written on `shared::netlink` and not on a general route library: eight attributes matter, and
//! an answer is read where it lies, without an allocation.

use std::net::IpAddr;

use netlink::Attr;
use netlink::Malformed;
use netlink::Message;
use netlink::Request;

use crate::route::InterfaceName;
use crate::route::Prefix;
use crate::route::RouteType;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

const RTM_GETLINK: u16 = 18;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_IIF: u16 = 3;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;
const RTA_TABLE: u16 = 15;
/// A gateway of the other family: its `AF_*`, then its address.
const RTA_VIA: u16 = 18;

/// Name the table that the entry is in; IPv4 only, and IPv6 always does.
const RTM_F_LOOKUP_TABLE: u32 = 0x1000;
/// Answer with the entry that matched, not with the route made from it (4.13).
const RTM_F_FIB_MATCH: u32 = 0x2000;

const IFLA_IFNAME: u16 = 3;
const IFLA_EXT_MASK: u16 = 29;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;

/// One `RTM_GETROUTE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Destination.
    pub dst: IpAddr,
    /// Source, of the same family.
    pub src: Option<IpAddr>,
    /// Interface that the packet came in through; none for a packet of this host.
    pub iif: Option<u32>,
}

/// What is wanted of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The route that a packet takes: one next hop, one source.
    Resolved,
    /// The entry of the table that it was made from.
    Entry,
}

/// What an answer says; the fields are those of a `Route`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub kind: RouteType,
    pub gateway: Option<IpAddr>,
    pub oif: Option<u32>,
    pub src: Option<IpAddr>,
    pub prefix: Prefix,
    pub table: Option<u32>,
}

impl Ask {
    /// Asks by destination alone.
    #[must_use]
    pub fn to(dst: IpAddr) -> Self {
        Self {
            dst,
            src: None,
            iif: None,
        }
    }

    /// The message.
    #[must_use]
    pub fn request(&self, want: Want) -> Request {
        let (family, bits) = family(self.dst);
        let mut flags = match want {
            Want::Resolved => 0,
            Want::Entry => RTM_F_FIB_MATCH,
        };
        if self.dst.is_ipv4() {
            flags |= RTM_F_LOOKUP_TABLE;
        }
        // struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags.
        let mut rtmsg = [0; 12];
        rtmsg[0] = family;
        rtmsg[1] = bits;
        rtmsg[2] = if self.src.is_some() { bits } else { 0 };
        rtmsg[8..].copy_from_slice(&flags.to_ne_bytes());
        let mut request = Request::new(RTM_GETROUTE, 0, &rtmsg);
        let attrs = request.attrs();
        put_address(attrs, RTA_DST, self.dst);
        if let Some(src) = self.src {
            put_address(attrs, RTA_SRC, src);
        }
        if let Some(iif) = self.iif {
            attrs.put_u32(RTA_IIF, iif);
        }
        request
    }
}

/// Reads the answer to an [`Ask`].
///
/// # Errors
/// If it is not one.
pub fn answer(message: &Message<'_>) -> Result<Answer, Malformed> {
    if message.kind != RTM_NEWROUTE {
        return Err(Malformed("the answer to a route query is no route"));
    }
    let (rtmsg, attrs) = message.split::<12>()?;
    let any = match rtmsg[0] {
        AF_INET => IpAddr::from([0; 4]),
        AF_INET6 => IpAddr::from([0; 16]),
        _ => return Err(Malformed("a route is of neither IPv4 nor IPv6")),
    };
    let mut answer = Answer {
        kind: RouteType(rtmsg[7]),
        gateway: None,
        oif: None,
        src: None,
        // The default route has no RTA_DST.
        prefix: Prefix {
            bits: rtmsg[1],
            ..Prefix::everything(any)
        },
        // Tables above 255 stand in the attribute alone, and RT_TABLE_COMPAT here.
        table: None,
    };
    for attr in attrs {
        let attr = attr?;
        match attr.kind {
            RTA_DST => answer.prefix.address = address(&attr)?,
            RTA_OIF => answer.oif = Some(attr.u32()?),
            RTA_GATEWAY => answer.gateway = Some(address(&attr)?),
            RTA_VIA => answer.gateway = Some(via(&attr)?),
            RTA_PREFSRC => answer.src = Some(address(&attr)?),
            RTA_TABLE => answer.table = Some(attr.u32()?).filter(|table| *table != 0),
            _ => {}
        }
    }
    Ok(answer)
}

/// Asks for the name of an interface.
#[must_use]
pub fn link_request(index: u32) -> Request {
    // struct ifinfomsg: family, pad, type (u16), index (i32), flags, change (u32).
    let mut ifinfomsg = [0; 16];
    ifinfomsg[4..8].copy_from_slice(&index.to_ne_bytes());
    let mut request = Request::new(RTM_GETLINK, 0, &ifinfomsg);
    request
        .attrs()
        .put_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    request
}

/// Reads the answer to a [`link_request`].
///
/// # Errors
/// If it has no name.
pub fn link_name(message: &Message<'_>) -> Result<InterfaceName, Malformed> {
    let (_, attrs) = message.split::<16>()?;
    for attr in attrs {
        let attr = attr?;
        if attr.kind == IFLA_IFNAME {
            return InterfaceName::new(attr.bytes)
                .ok_or(Malformed("the name of an interface is too long"));
        }
    }
    Err(Malformed("an interface has no name"))
}

fn family(address: IpAddr) -> (u8, u8) {
    match address {
        IpAddr::V4(_) => (AF_INET, 32),
        IpAddr::V6(_) => (AF_INET6, 128),
    }
}

fn put_address(attrs: &mut netlink::Writer, kind: u16, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => attrs.put(kind, &v4.octets()),
        IpAddr::V6(v6) => attrs.put(kind, &v6.octets()),
    };
}

fn address(attr: &Attr<'_>) -> Result<IpAddr, Malformed> {
    address_of(attr.bytes)
}

fn via(attr: &Attr<'_>) -> Result<IpAddr, Malformed> {
    let (_family, address) = attr
        .bytes
        .split_first_chunk::<2>()
        .ok_or(Malformed("a gateway is cut short"))?;
    address_of(address)
}

fn address_of(bytes: &[u8]) -> Result<IpAddr, Malformed> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        Ok(v4.into())
    } else if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        Ok(v6.into())
    } else {
        Err(Malformed("an address has an unexpected length"))
    }
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

    fn read(payload: &[u8]) -> Result<Answer, Malformed> {
        answer(&Message {
            kind: RTM_NEWROUTE,
            flags: 0,
            seq: 1,
            port: 1,
            payload,
        })
    }

    #[test]
    fn a_default_route_through_a_gateway_of_the_other_family() {
        let mut via = AF_INET6.to_ne_bytes().to_vec();
        via.push(0);
        via.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let payload = rtmsg(
            AF_INET,
            0,
            1,
            &[
                (RTA_TABLE, &1000_u32.to_ne_bytes()),
                (RTA_OIF, &3_u32.to_ne_bytes()),
                (RTA_VIA, &via),
                (99, b"of a later kernel"),
            ],
        );
        assert_eq!(
            read(&payload),
            Ok(Answer {
                kind: RouteType::UNICAST,
                gateway: Some("fe80::1".parse().unwrap()),
                oif: Some(3),
                src: None,
                prefix: Prefix::everything([0; 4].into()),
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
