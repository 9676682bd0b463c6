//! May ctnetlink be used, without the kernel loading modules for it?

use lab::modules::Modules;
use netlink::ctnetlink::MODULES;

/// Checks that every module is there, or may be loaded.
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
