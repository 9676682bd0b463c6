//! What this process may do, as far as the kernel reports it. It explains why an attempt failed, and
//! decides nothing.

use std::fs;

use shared::capability::Capabilities;
use shared::lockdown;

/// Everything that can explain a refusal.
#[derive(Debug, Clone, Default)]
pub struct Privileges {
    /// Capabilities of the calling thread.
    pub effective: Capabilities,
    /// Capabilities count only within a user namespace that is not the initial one.
    pub in_user_namespace: bool,
    /// A seccomp filter sees every system call of this process.
    pub seccomp_filter: bool,
    /// `none`, `integrity` or `confidentiality`; `None` if securityfs does not show it.
    pub lockdown: Option<String>,
}

impl Privileges {
    /// Those of this process, now. What cannot be read counts as absent.
    pub fn own() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            effective: Capabilities::effective(),
            in_user_namespace: !is_initial(&read("/proc/self/uid_map")),
            seccomp_filter: has_filter(&read("/proc/self/status")),
            lockdown: lockdown::mode(),
        }
    }
}

/// The initial user namespace maps every id to itself. An unreadable map counts as that.
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
    fn what_the_files_say() {
        assert!(is_initial("         0          0 4294967295\n"));
        assert!(!is_initial("         0       1000          1\n"));
        assert!(has_filter("Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n"));
        assert!(!has_filter("Seccomp:\t0\nSeccomp_filters:\t2\n"));
    }
}
