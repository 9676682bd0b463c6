//! Which capabilities a source needs, and which of them this thread lacks.

use shared::capability::Capabilities;
use shared::capability::Capability;
use shared::ring::layout::Source;

/// Names of the capabilities that the source needs and that are missing; empty if none is.
#[must_use]
pub fn missing(source: Source) -> String {
    let needed: &[Capability] = match source {
        Source::Netlink => &[Capability::CAP_NET_ADMIN],
        _ => &[Capability::CAP_BPF, Capability::CAP_PERFMON],
    };
    Capabilities::effective().missing(needed).join(" and ")
}
