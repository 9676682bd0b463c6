//! What must be so before anything is tried: capabilities, and no module that the kernel would load
//! on our account. Each refusal names what is missing.

use anyhow::Context as _;
use caps::CapSet;
use caps::Capability;
use shared::exit::Failure;
use shared::modules::Modules;
use shared::netns;

/// Each with what it is for.
const NEEDED: [(Capability, &str); 4] = [
    (Capability::CAP_BPF, "load the capture program"),
    (Capability::CAP_PERFMON, "read kernel memory"),
    (Capability::CAP_NET_ADMIN, "set marks and rules"),
    (Capability::CAP_SYS_ADMIN, "make network namespaces"),
];

/// Refuses if a capability is missing.
///
/// # Errors
/// Exit 4, naming each that is missing.
pub fn check_capabilities() -> anyhow::Result<()> {
    let held = caps::read(None, CapSet::Effective).context("read this process's capabilities")?;
    let missing: Vec<String> = NEEDED
        .iter()
        .filter(|(capability, _)| !held.contains(capability))
        .map(|(capability, purpose)| format!("{capability} (to {purpose})"))
        .collect();
    // Kernels before 5.8 know only CAP_SYS_ADMIN, and later ones let it stand for the two.
    if missing.is_empty() || implied(&held) {
        return Ok(());
    }
    Err(Failure::Privilege(format!("missing {}", missing.join(", "))).into())
}

fn implied(held: &caps::CapsHashSet) -> bool {
    held.contains(&Capability::CAP_SYS_ADMIN) && held.contains(&Capability::CAP_NET_ADMIN)
}

/// Refuses if the experiment would make the kernel load a module.
///
/// # Errors
/// Exit 5, naming each module.
pub fn check_modules(allow_system_changes: bool) -> anyhow::Result<()> {
    if allow_system_changes {
        return Ok(());
    }
    let missing = Modules::running().would_load(netns::MODULES);
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    Err(Failure::Kernel(format!(
        "not loaded: {names}; load them with modprobe, pass --allow-system-changes, or trust the \
         kernel's type information with --method btf"
    ))
    .into())
}
