//! The capabilities that a measurement needs, and those that its threads keep when a part is done.
//!
//! Tried one by one on Linux 6.18, as a user who is not root: a namespace is made and entered with
//! `CAP_SYS_ADMIN`; its loopback, its rules, `nf_conntrack_udp_timeout` and marks take
//! `CAP_NET_ADMIN`; the programs take `CAP_BPF` and `CAP_PERFMON`, or `CAP_SYS_ADMIN` alone.

use shared::capability::Capabilities;
use shared::capability::Capability;
use shared::exit::Failure;

/// Each with its purpose.
const NEEDED: [(Capability, &str); 4] = [
    (Capability::CAP_BPF, "load the capture program"),
    (Capability::CAP_PERFMON, "read kernel memory"),
    (Capability::CAP_NET_ADMIN, "set marks and rules"),
    (Capability::CAP_SYS_ADMIN, "make network namespaces"),
];

/// For a thread that only opens sockets.
pub const NOTHING: &[Capability] = &[];
/// To mark sockets and to set timeouts, once hooks are attached and namespaces are there.
pub const SAMPLING: &[Capability] = &[Capability::CAP_NET_ADMIN];

/// Refuses if a capability is missing.
///
/// # Errors
/// Exit 4, naming each that is missing.
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
