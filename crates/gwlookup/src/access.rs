//! Which privilege a refusal to find or enter a network namespace means. Only this module asks
//! what the process may do.

use netlink::netns::Error;
use nix::errno::Errno;
use shared::capability::Capabilities;
use shared::capability::Capability;

/// What finding (`/proc/PID/ns/net` of anyone) and entering (`setns`) a namespace takes.
const NEEDED: [Capability; 2] = [Capability::CAP_SYS_ADMIN, Capability::CAP_SYS_PTRACE];

/// The privileges whose lack explains the error, by name; `None` if it means something else.
#[must_use]
pub fn missing(error: &Error) -> Option<String> {
    let names = Capabilities::effective().missing(&NEEDED);
    match error {
        // Even with every capability, a process in a container may not look at those outside.
        Error::Hidden { .. } if names.is_empty() => None,
        Error::Hidden { .. } => Some(names.join(" and ")),
        _ if !matches!(error.errno(), Some(Errno::EPERM | Errno::EACCES)) => None,
        _ if names.is_empty() => Some("CAP_SYS_ADMIN in its user namespace".into()),
        _ => Some(names.join(" and ")),
    }
}
