//! Where BTF has a field: the one table from a field's name to the members that lead there.

use shared::offsets::Field;

/// `struct.member.member[index]`. Members of unnamed structs and unions are written as if they were
/// the parent's own, as in C.
///
/// The kernel's sources abbreviate some by `#define`, which type information does not know
/// (`include/net/sock.h`, `include/net/flow.h`).
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

/// The struct that a path begins in.
#[must_use]
pub fn struct_name(path: &'static str) -> &'static str {
    path.split_once('.').map_or(path, |(name, _)| name)
}
