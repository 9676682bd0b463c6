//! Where BTF has a field: the one table from a field to the members that lead there.

use shared::offsets::Field;

/// `struct.member.member[index]`. Members of unnamed structs and unions are written as if they were
/// the parent's own, as in C.
///
/// Only fields whose name in the kernel is a `#define` (`include/net/sock.h`, `include/net/flow.h`) stand
/// here, since type information has the members behind it.
#[must_use]
pub fn path(field: Field) -> &'static str {
    match field {
        Field::SockDaddr => "sock.__sk_common.skc_daddr",
        Field::SockRcvSaddr => "sock.__sk_common.skc_rcv_saddr",
        Field::SockDport => "sock.__sk_common.skc_dport",
        Field::SockNum => "sock.__sk_common.skc_num",
        Field::SockFamily => "sock.__sk_common.skc_family",
        Field::SockNet => "sock.__sk_common.skc_net",
        Field::SockV6Daddr => "sock.__sk_common.skc_v6_daddr",
        Field::SockV6RcvSaddr => "sock.__sk_common.skc_v6_rcv_saddr",
        Field::Flowi4Sport => "flowi4.uli.ports.sport",
        Field::Flowi4Dport => "flowi4.uli.ports.dport",
        Field::Flowi6Sport => "flowi6.uli.ports.sport",
        Field::Flowi6Dport => "flowi6.uli.ports.dport",
        literal => literal.path(),
    }
}

/// The struct in which the path to a field begins.
#[must_use]
pub fn struct_name(field: Field) -> &'static str {
    let path = path(field);
    path.split_once('.').map_or(path, |(name, _)| name)
}
