//! The netlink socket options that `nix` lacks (`linux/netlink.h`).

use nix::setsockopt_impl;
use nix::sockopt_impl;

sockopt_impl!(
    /// `NETLINK_ADD_MEMBERSHIP`: join the group of this number.
    Membership,
    SetOnly,
    libc::SOL_NETLINK,
    libc::NETLINK_ADD_MEMBERSHIP,
    u32
);
sockopt_impl!(
    /// `NETLINK_CAP_ACK` (4.3): errors quote only the header of the request.
    CapAck,
    SetOnly,
    libc::SOL_NETLINK,
    libc::NETLINK_CAP_ACK,
    bool
);
sockopt_impl!(
    /// `NETLINK_EXT_ACK` (4.12): errors carry the kernel's reason in words.
    ExtAck,
    SetOnly,
    libc::SOL_NETLINK,
    libc::NETLINK_EXT_ACK,
    bool
);
sockopt_impl!(
    /// `NETLINK_GET_STRICT_CHK` (4.20): the kernel applies a dump request's filters.
    StrictCheck,
    SetOnly,
    libc::SOL_NETLINK,
    libc::NETLINK_GET_STRICT_CHK,
    bool
);
