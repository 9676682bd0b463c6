//! What this process may do, as far as the kernel tells it. Reads; decides nothing: an attempt
//! decides, and this only explains its outcome.

use std::fs;

use caps::CapSet;
use caps::Capability;
use caps::CapsHashSet;
use shared::lockdown;

/// Everything that can turn a refusal into an explanation.
#[derive(Debug, Clone, Default)]
pub struct Privileges {
    /// Effective capabilities.
    pub effective: CapsHashSet,
    /// Capabilities count only within a user namespace that is not the initial one.
    pub in_user_namespace: bool,
    /// A seccomp filter sees every system call of this process.
    pub seccomp_filter: bool,
    /// `none`, `integrity` or `confidentiality`; `None` if securityfs does not show it.
    pub lockdown: Option<String>,
}

impl Privileges {
    /// Of this process, now. What cannot be read is taken for absent.
    pub fn own() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            effective: caps::read(None, CapSet::Effective).unwrap_or_default(),
            in_user_namespace: !is_initial(&read("/proc/self/uid_map")),
            seccomp_filter: has_filter(&read("/proc/self/status")),
            lockdown: lockdown::mode(),
        }
    }

    /// Is the capability, or one that includes it, effective?
    pub fn holds(&self, capability: Capability) -> bool {
        let includes_it = match capability {
            // bpf_capable() and perfmon_capable() of the kernel's linux/capability.h.
            Capability::CAP_BPF | Capability::CAP_PERFMON => Capability::CAP_SYS_ADMIN,
            other => other,
        };
        self.effective.contains(&capability) || self.effective.contains(&includes_it)
    }
}

/// The initial user namespace maps every id to itself. An empty text cannot be told.
fn is_initial(uid_map: &str) -> bool {
    let map: Vec<&str> = uid_map.split_whitespace().collect();
    map.is_empty() || map == ["0", "0", "4294967295"]
}

/// `SECCOMP_MODE_FILTER` in `/proc/PID/status`.
fn has_filter(status: &str) -> bool {
    status
        .lines()
        .filter_map(|line| line.strip_prefix("Seccomp:"))
        .any(|mode| mode.trim() == "2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sys_admin_stands_in_for_what_was_split_from_it() {
        let admin = Privileges {
            effective: CapsHashSet::from([Capability::CAP_SYS_ADMIN]),
            ..Privileges::default()
        };
        assert!(admin.holds(Capability::CAP_BPF) && admin.holds(Capability::CAP_PERFMON));
        assert!(!admin.holds(Capability::CAP_NET_ADMIN));
        let bpf = Privileges {
            effective: CapsHashSet::from([Capability::CAP_BPF]),
            ..Privileges::default()
        };
        assert!(bpf.holds(Capability::CAP_BPF) && !bpf.holds(Capability::CAP_SYS_ADMIN));
    }

    #[test]
    fn what_the_files_say() {
        assert!(is_initial("         0          0 4294967295\n"));
        assert!(!is_initial("         0       1000          1\n"));
        assert!(has_filter("Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n"));
        assert!(!has_filter("Seccomp:\t0\nSeccomp_filters:\t2\n"));
    }
}
