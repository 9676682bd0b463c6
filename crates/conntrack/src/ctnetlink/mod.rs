//! Conntrack's netlink family: [`mod@parse`] turns messages into records, [`mod@dump`] asks for every
//! entry, [`listen`] hears of those that come and go. Sockets come from `shared::netlink`.

pub mod dump;
pub mod listen;
pub mod parse;
mod tuple;

pub use dump::dump;
pub use listen::Events;
pub use parse::parse;

use shared::modules::Modules;

/// What a kernel would load for a request of this family.
const MODULES: &[&str] = &["nfnetlink", "nf_conntrack", "nf_conntrack_netlink"];

/// May the family be used, without the kernel loading something for it?
///
/// # Errors
/// The reason, in words.
pub fn may_be_used(may_change_system: bool) -> Result<(), String> {
    let missing = Modules::running().would_load(MODULES);
    if missing.is_empty() || may_change_system {
        return Ok(());
    }
    let missing = missing.join(", ");
    Err(format!(
        "the kernel would have to load {missing} (--allow-system-changes lets it)"
    ))
}

/// `NFNL_SUBSYS_CTNETLINK << 8`: the high byte of every message type of the family.
const SUBSYSTEM: u16 = 1 << 8;
/// `IPCTNL_MSG_CT_NEW`.
const NEW: u16 = SUBSYSTEM;
/// `IPCTNL_MSG_CT_GET`.
const GET: u16 = SUBSYSTEM | 1;
/// `IPCTNL_MSG_CT_DELETE`.
const DELETE: u16 = SUBSYSTEM | 2;
