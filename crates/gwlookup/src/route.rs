//! A route as it is shown: the `route` object of a record, and its parts. Pure.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use serde::Serialize;
use serde::Serializer;

/// Where packets go. What the kernel did not tell is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Route {
    /// What the route does with a packet.
    #[serde(rename = "type")]
    pub kind: RouteType,
    /// Next hop; absent if the destination itself is the next hop, or there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Index of the interface that packets leave through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oif: Option<u32>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oif_name: Option<InterfaceName>,
    /// Source address that the route prefers; the kernel tells none if the packet's own stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src: Option<IpAddr>,
    /// Destination of the entry that matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Prefix>,
    /// Number of the table that the entry is in; 254 is `main`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// Whether the source took part in the decision; not shown, but counted.
    #[serde(skip)]
    pub basis: Basis,
}

impl Route {
    /// A route that leads nowhere.
    #[must_use]
    pub fn without_way(kind: RouteType, basis: Basis) -> Self {
        Self {
            kind,
            gateway: None,
            oif: None,
            oif_name: None,
            src: None,
            prefix: None,
            table: None,
            basis,
        }
    }
}

/// What a route was looked up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// All that was asked.
    Whole,
    /// The destination alone: the source led the kernel nowhere.
    Destination,
}

/// `RTN_*` of `linux/rtnetlink.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteType(pub u8);

impl RouteType {
    /// To a gateway or a neighbour.
    pub const UNICAST: Self = Self(1);
    /// To this host.
    pub const LOCAL: Self = Self(2);
    /// To all hosts of a link.
    pub const BROADCAST: Self = Self(3);
    /// Dropped without a word.
    pub const BLACKHOLE: Self = Self(6);
    /// Refused with "host unreachable".
    pub const UNREACHABLE: Self = Self(7);
    /// Refused with "administratively prohibited".
    pub const PROHIBIT: Self = Self(8);

    const NAMES: [&'static str; 10] = [
        "unspec",
        "unicast",
        "local",
        "broadcast",
        "anycast",
        "multicast",
        "blackhole",
        "unreachable",
        "prohibit",
        "throw",
    ];

    /// The name that iproute2 gives it, or its number.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        match Self::NAMES.get(usize::from(self.0)) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(self.0.to_string()),
        }
    }
}

impl Serialize for RouteType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// The first of them.
    pub address: IpAddr,
    /// In how many bits they agree.
    pub bits: u8,
}

impl Prefix {
    /// All addresses of the family of `like`.
    #[must_use]
    pub fn everything(like: IpAddr) -> Self {
        let address = match like {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        Self { address, bits: 0 }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `IFNAMSIZ`, which counts a closing NUL.
const NAME_BYTES: usize = 16;

/// Name of an interface, held in place so that a route can be copied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InterfaceName([u8; NAME_BYTES]);

impl InterfaceName {
    /// A name from the kernel, with or without its NUL; `None` if it is longer than names are.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let len = bytes
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(bytes.len());
        let mut name = [0; NAME_BYTES];
        name[..NAME_BYTES - 1]
            .get_mut(..len)?
            .copy_from_slice(&bytes[..len]);
        Some(Self(name))
    }

    /// The name; the kernel allows bytes that are no UTF-8, which are replaced.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        let len = self.0.iter().position(|byte| *byte == 0);
        String::from_utf8_lossy(&self.0[..len.unwrap_or(NAME_BYTES)])
    }
}

impl fmt::Debug for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text(), f)
    }
}

impl Serialize for InterfaceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_shown() {
        let bare = Route::without_way(RouteType::BLACKHOLE, Basis::Whole);
        assert_eq!(
            serde_json::to_string(&bare).unwrap(),
            r#"{"type":"blackhole"}"#
        );
        let full = Route {
            kind: RouteType::UNICAST,
            gateway: Some([192, 0, 2, 1].into()),
            oif: Some(7),
            oif_name: InterfaceName::new(b"eth0\0"),
            src: Some([192, 0, 2, 2].into()),
            prefix: Some(Prefix::everything([1, 1, 1, 1].into())),
            table: Some(254),
            ..bare
        };
        assert_eq!(
            serde_json::to_string(&full).unwrap(),
            concat!(
                r#"{"type":"unicast","gateway":"192.0.2.1","oif":7,"oif_name":"eth0","#,
                r#""src":"192.0.2.2","prefix":"0.0.0.0/0","table":254}"#
            )
        );
    }

    #[test]
    fn a_type_of_a_later_kernel_is_its_number() {
        assert_eq!(RouteType(9).name(), "throw");
        assert_eq!(RouteType(77).name(), "77");
    }

    #[test]
    fn names_of_interfaces_fit_or_are_refused() {
        let longest = [b'x'; 15];
        assert_eq!(InterfaceName::new(&longest).unwrap().text().len(), 15);
        assert_eq!(InterfaceName::new(&[b'x'; 16]), None);
        assert_eq!(InterfaceName::new(b"a\0b").unwrap().text(), "a");
        assert_eq!(
            InterfaceName::new(b"\xff").unwrap().text(),
            "\u{fffd}",
            "not UTF-8"
        );
    }
}
