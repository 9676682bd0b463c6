//! Single entries of the kernel's connection table, found, changed and deleted through
//! conntrack's netlink family (`linux/netfilter/nfnetlink_conntrack.h`). Knows no dumps and no
//! events.

mod entry;
mod request;
mod tuple;

pub use entry::Entry;
pub use request::Change;
pub use request::change;
pub use request::delete;
pub use request::find;
pub use tuple::Tuple;

/// Modules that the kernel loads for a request of this family if they are not there.
pub const MODULES: &[&str] = &["nfnetlink", "nf_conntrack", "nf_conntrack_netlink"];

/// `NFNL_SUBSYS_CTNETLINK << 8`: the high byte of every message type of the family.
const SUBSYSTEM: u16 = 1 << 8;
/// `IPCTNL_MSG_CT_NEW`.
pub const NEW: u16 = SUBSYSTEM;
/// `IPCTNL_MSG_CT_GET`.
pub const GET: u16 = SUBSYSTEM | 1;
/// `IPCTNL_MSG_CT_DELETE`.
pub const DELETE: u16 = SUBSYSTEM | 2;

/// `enum ctattr_type`: the attributes of a message.
#[expect(missing_docs, reason = "the kernel's names say it")]
pub mod cta {
    pub const TUPLE_ORIG: u16 = 1;
    pub const TUPLE_REPLY: u16 = 2;
    pub const STATUS: u16 = 3;
    pub const TIMEOUT: u16 = 7;
    pub const MARK: u16 = 8;
    pub const COUNTERS_ORIG: u16 = 9;
    pub const COUNTERS_REPLY: u16 = 10;
    pub const ID: u16 = 12;
    pub const ZONE: u16 = 18;
    pub const TIMESTAMP: u16 = 20;
}

/// Bits of [`Entry::status`] and [`Change::set_status`] (`enum ip_conntrack_status`): those that a
/// request can set. None can be cleared.
pub mod status {
    /// `IPS_SEEN_REPLY`.
    pub const SEEN_REPLY: u32 = 1 << 1;
    /// `IPS_ASSURED`.
    pub const ASSURED: u32 = 1 << 2;
    /// `IPS_FIXED_TIMEOUT`: packets no longer prolong the entry's life. Nor can a request in 6.1 and
    /// later; in 5.10 it can.
    pub const FIXED_TIMEOUT: u32 = 1 << 10;
}
