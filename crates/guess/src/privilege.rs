//! The capabilities that a measurement needs, and those that its threads keep after each phase.
//!
//! Tried one by one on Linux 6.18 as a user who is not root: making and entering a namespace needs
//! `CAP_SYS_ADMIN`; its loopback, its rules, `nf_conntrack_udp_timeout` and marks need `CAP_NET_ADMIN`; the
//! programs need `CAP_BPF` and `CAP_PERFMON`, or only `CAP_SYS_ADMIN`.

use shared::capability::Capabilities;
use shared::capability::Capability;
use shared::exit::Failure;

/// The needed capabilities with their purposes.
const NEEDED: [(Capability, &str); 4] = [
    (Capability::CAP_BPF, "load the capture program"),
    (Capability::CAP_PERFMON, "read kernel memory"),
    (Capability::CAP_NET_ADMIN, "set marks and rules"),
    (Capability::CAP_SYS_ADMIN, "make network namespaces"),
];

/// Kept by a thread that only opens sockets.
pub const NOTHING: &[Capability] = &[];
/// Kept to mark sockets and set timeouts, once hooks are attached and namespaces exist.
pub const SAMPLING: &[Capability] = &[Capability::CAP_NET_ADMIN];

/// Fails if a capability is missing.
///
/// # Errors
/// [`Failure::Privilege`] with the name of each missing one.
pub fn check() -> Result<(), Failure> {
    let held = Capabilities::effective();
    let missing = NEEDED.iter().filter(|(one, _)| !held.allow(*one));
    let missing: Vec<String> = missing
        .map(|(capability, purpose)| format!("{capability} (to {purpose})"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(", ");
    Err(Failure::Privilege(format!("missing {missing}")))
}
