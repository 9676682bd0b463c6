//! Names of the transport protocols that connection tracking knows, as conntrack-tools prints
//! them. Any other protocol is its number.

use std::borrow::Cow;

const NAMES: &[(u8, &str)] = &[
    (1, "icmp"),
    (6, "tcp"),
    (17, "udp"),
    (33, "dccp"),
    (47, "gre"),
    (58, "icmpv6"),
    (132, "sctp"),
    (136, "udplite"),
];

/// `IPPROTO_ICMP`.
pub const ICMP: u8 = 1;
/// `IPPROTO_TCP`.
pub const TCP: u8 = 6;
/// `IPPROTO_UDP`.
pub const UDP: u8 = 17;
/// `IPPROTO_ICMPV6`.
pub const ICMPV6: u8 = 58;

/// Is it ICMP, whose id and type take the place of ports?
#[must_use]
pub const fn is_icmp(proto: u8) -> bool {
    matches!(proto, ICMP | ICMPV6)
}

/// Name of a protocol, or its number.
#[must_use]
pub fn name(proto: u8) -> Cow<'static, str> {
    NAMES
        .iter()
        .find(|(number, _)| *number == proto)
        .map_or_else(
            || Cow::Owned(proto.to_string()),
            |(_, name)| Cow::Borrowed(*name),
        )
}

/// The protocol of a name or a number.
#[must_use]
pub fn number(name: &str) -> Option<u8> {
    NAMES
        .iter()
        .find(|(_, known)| *known == name)
        .map(|(number, _)| *number)
        .or_else(|| name.parse().ok())
}
