//! A route as it is shown: the `route` object of a record, and its parts. Pure.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use nix::libc;
use serde::Serialize;
use serde::Serializer;

/// Where packets go. What the kernel did not report is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    pub oif_name: Option<String>,
    /// Source address that the route prefers; the kernel reports none if the packet keeps its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src: Option<IpAddr>,
    /// Destination of the entry that matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Prefix>,
    /// Number of the table that the entry is in; 254 is `main`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// Whether the lookup used the source; counted, not shown.
    #[serde(skip)]
    pub basis: Basis,
}

impl Route {
    /// A route without gateway and interface.
    #[must_use]
    pub fn without_next_hop(kind: RouteType, basis: Basis) -> Self {
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

    /// The interface that packets leave through: its name, or its index where the name is unknown.
    #[must_use]
    pub fn interface(&self) -> Option<String> {
        let index = || self.oif.map(|index| format!("if{index}"));
        self.oif_name.clone().or_else(index)
    }
}

/// What a route was looked up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Everything that the query has.
    Full,
    /// The destination only: the kernel refused the source.
    Destination,
}

/// `RTN_*` of `linux/rtnetlink.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteType(pub u8);

impl RouteType {
    /// To a gateway or a neighbour.
    pub const UNICAST: Self = Self(libc::RTN_UNICAST);
    /// To this host.
    pub const LOCAL: Self = Self(libc::RTN_LOCAL);
    /// To all hosts of a link.
    pub const BROADCAST: Self = Self(libc::RTN_BROADCAST);
    /// Drops packets silently.
    pub const BLACKHOLE: Self = Self(libc::RTN_BLACKHOLE);
    /// Rejects packets with "host unreachable".
    pub const UNREACHABLE: Self = Self(libc::RTN_UNREACHABLE);
    /// Rejects packets with "administratively prohibited".
    pub const PROHIBIT: Self = Self(libc::RTN_PROHIBIT);

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

/// A prefix: its first address and its length in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix(pub IpAddr, pub u8);

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_shown() {
        let bare = Route::without_next_hop(RouteType::BLACKHOLE, Basis::Full);
        assert_eq!(
            serde_json::to_string(&bare).unwrap(),
            r#"{"type":"blackhole"}"#
        );
        let full = Route {
            kind: RouteType::UNICAST,
            gateway: Some([192, 0, 2, 1].into()),
            oif: Some(7),
            oif_name: Some("eth0".into()),
            src: Some([192, 0, 2, 2].into()),
            prefix: Some(Prefix([0; 4].into(), 0)),
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
}
