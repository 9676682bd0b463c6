//! What all netfilter subsystems share in netlink (`linux/netfilter/nfnetlink.h`): message types and
//! the fixed header. Knows no subsystem's attributes.

/// Connection tracking.
pub const NFNL_SUBSYS_CTNETLINK: u8 = libc::NFNL_SUBSYS_CTNETLINK as u8;
/// nf_tables.
pub const NFNL_SUBSYS_NFTABLES: u8 = libc::NFNL_SUBSYS_NFTABLES as u8;
/// Message type that opens a batch.
pub const NFNL_MSG_BATCH_BEGIN: u16 = libc::NFNL_MSG_BATCH_BEGIN as u16;
/// Message type that closes a batch.
pub const NFNL_MSG_BATCH_END: u16 = libc::NFNL_MSG_BATCH_END as u16;

/// Group of new connections.
pub const NFNLGRP_CONNTRACK_NEW: u32 = libc::NFNLGRP_CONNTRACK_NEW as u32;
/// Group of connections that end.
pub const NFNLGRP_CONNTRACK_DESTROY: u32 = libc::NFNLGRP_CONNTRACK_DESTROY as u32;

/// The type of a subsystem's message.
#[must_use]
pub const fn message_type(subsystem: u8, message: u8) -> u16 {
    u16::from_be_bytes([subsystem, message])
}

/// `struct nfgenmsg`: family, version 0 and a resource number in network order.
#[must_use]
pub fn nfgenmsg(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}
