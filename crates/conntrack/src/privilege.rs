//! Which capabilities a source needs, and which of them this process lacks.

use std::fs;

use shared::ring::layout::Source as Kind;

/// Capabilities of `linux/capability.h`.
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Names of the capabilities that the source needs and that are missing; empty if none is.
#[must_use]
pub fn missing(kind: Kind) -> String {
    let needed: &[(u32, &str)] = match kind {
        Kind::Netlink => &[(CAP_NET_ADMIN, "CAP_NET_ADMIN")],
        _ => &[(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")],
    };
    names(effective(), needed)
}

fn names(effective: u64, needed: &[(u32, &str)]) -> String {
    let has = |cap: u32| effective & (1 << cap) != 0;
    let missing: Vec<&str> = needed
        .iter()
        // Before CAP_BPF and CAP_PERFMON were split off, and still, CAP_SYS_ADMIN is both.
        .filter(|(cap, _)| !has(*cap) && (*cap == CAP_NET_ADMIN || !has(CAP_SYS_ADMIN)))
        .map(|(_, name)| *name)
        .collect();
    missing.join(" and ")
}

/// The thread's effective capabilities; all of them if `/proc` does not tell, so that nothing is
/// blamed on what is not known.
fn effective() -> u64 {
    fs::read_to_string("/proc/thread-self/status")
        .ok()
        .and_then(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("CapEff:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        })
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_capability_is_named() {
        let both = [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")];
        for (effective, said) in [
            (0, "CAP_BPF and CAP_PERFMON"),
            (1 << CAP_BPF, "CAP_PERFMON"),
            (1 << CAP_SYS_ADMIN, ""),
            (1 << CAP_BPF | 1 << CAP_PERFMON, ""),
        ] {
            assert_eq!(names(effective, &both), said);
        }
        let net = [(CAP_NET_ADMIN, "CAP_NET_ADMIN")];
        assert_eq!(names(1 << CAP_SYS_ADMIN, &net), "CAP_NET_ADMIN");
    }
}
