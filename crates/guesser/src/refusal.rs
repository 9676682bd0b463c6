//! What must be so before anything is tried: capabilities. The refusal names what is missing.

use anyhow::Context as _;
use caps::CapSet;
use caps::Capability;
use shared::exit::Failure;

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
