//! Conntrack's netlink family: [`parse`] turns messages into records, [`dump`] asks for every
//! entry, [`listen`] hears of those that come and go. Sockets come from `shared::netlink`.

pub mod dump;
pub mod listen;
pub mod parse;

pub use dump::dump;
pub use listen::Events;
pub use parse::parse;

/// What a kernel would load for a request of this family.
pub const MODULES: &[&str] = &["nfnetlink", "nf_conntrack", "nf_conntrack_netlink"];

/// `NFNL_SUBSYS_CTNETLINK << 8`: the high byte of every message type of the family.
const SUBSYSTEM: u16 = 1 << 8;
/// `IPCTNL_MSG_CT_NEW`.
const NEW: u16 = SUBSYSTEM;
/// `IPCTNL_MSG_CT_GET`.
const GET: u16 = SUBSYSTEM | 1;
/// `IPCTNL_MSG_CT_DELETE`.
const DELETE: u16 = SUBSYSTEM | 2;
