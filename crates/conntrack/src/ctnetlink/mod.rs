//! Conntrack's netlink family: [`mod@parse`] turns messages into records, [`mod@dump`] asks for every
//! entry, [`listen`] hears of those that come and go. Sockets come from `netlink`.

pub mod dump;
pub mod listen;
pub mod parse;
mod tuple;

pub use dump::dump;
pub use listen::Events;
pub use parse::parse;

use lab::modules::Modules;
use netlink::ctnetlink::MODULES;

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
