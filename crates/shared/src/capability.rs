//! Linux capabilities: which a thread holds, which of those that it needs are missing, and how it gives up
//! the others. Each program has its own list of what it needs.

use anyhow::Context as _;
use caps::CapSet;
pub use caps::Capability;
use caps::CapsHashSet;

/// The capabilities of a thread, as far as the kernel reports them.
#[derive(Debug, Clone, Default)]
pub struct Capabilities(Option<CapsHashSet>);

impl Capabilities {
    /// The effective ones of the calling thread; unknown if a seccomp filter forbids capget(2).
    #[must_use]
    pub fn effective() -> Self {
        Self(caps::read(None, CapSet::Effective).ok())
    }

    /// Did the kernel report them?
    #[must_use]
    pub fn are_known(&self) -> bool {
        self.0.is_some()
    }

    /// The capability that allows what this one allows: itself, or a held one that includes it; `None`
    /// if it is missing. Where they are unknown none is missing, so that no failure is blamed on it.
    #[must_use]
    pub fn granted_by(&self, capability: Capability) -> Option<Capability> {
        let Some(held) = &self.0 else {
            return Some(capability);
        };
        // `bpf_capable()` and `perfmon_capable()` of linux/capability.h: CAP_SYS_ADMIN was all there
        // was before 5.8, and still includes the two.
        let includes_it = match capability {
            Capability::CAP_BPF | Capability::CAP_PERFMON => Capability::CAP_SYS_ADMIN,
            other => other,
        };
        let mut grants = [capability, includes_it].into_iter();
        grants.find(|capability| held.contains(capability))
    }

    /// Does this capability, or one that includes it, count as held?
    #[must_use]
    pub fn allow(&self, capability: Capability) -> bool {
        self.granted_by(capability).is_some()
    }

    /// Names of those needed that are missing, in the order given.
    #[must_use]
    pub fn missing(&self, needed: &[Capability]) -> Vec<String> {
        let missing = needed.iter().filter(|capability| !self.allow(**capability));
        missing.map(ToString::to_string).collect()
    }
}

impl<const COUNT: usize> From<[Capability; COUNT]> for Capabilities {
    fn from(held: [Capability; COUNT]) -> Self {
        Self(Some(held.into()))
    }
}

/// Gives up, for the calling thread and for good, every capability but those kept. What grants a kept
/// one in its place is kept instead.
///
/// # Errors
/// If the kernel refuses, as a seccomp filter may.
pub fn keep_only<'a>(kept: impl IntoIterator<Item = &'a Capability>) -> anyhow::Result<()> {
    let failed = "give up capabilities";
    let permitted = Capabilities(Some(caps::read(None, CapSet::Permitted).context(failed)?));
    let kept: CapsHashSet = kept
        .into_iter()
        .filter_map(|capability| permitted.granted_by(*capability))
        .collect();
    // What is effective must be permitted; what is ambient goes with what is permitted.
    caps::clear(None, CapSet::Inheritable).context(failed)?;
    caps::set(None, CapSet::Effective, &kept).context(failed)?;
    caps::set(None, CapSet::Permitted, &kept).context(failed)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use Capability::CAP_BPF;
    use Capability::CAP_DAC_OVERRIDE;
    use Capability::CAP_NET_ADMIN;
    use Capability::CAP_PERFMON;
    use Capability::CAP_SYS_ADMIN;

    #[test]
    fn each_missing_capability_is_named() {
        for (held, named) in [
            (
                Capabilities::from([]),
                "CAP_BPF and CAP_PERFMON and CAP_NET_ADMIN",
            ),
            ([CAP_BPF].into(), "CAP_PERFMON and CAP_NET_ADMIN"),
            ([CAP_SYS_ADMIN].into(), "CAP_NET_ADMIN"),
            ([CAP_BPF, CAP_PERFMON].into(), "CAP_NET_ADMIN"),
            ([CAP_NET_ADMIN, CAP_SYS_ADMIN].into(), ""),
            (Capabilities::default(), ""),
        ] {
            let missing = held.missing(&[CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN]);
            assert_eq!(missing.join(" and "), named, "{held:?}");
        }
    }

    #[test]
    fn sys_admin_grants_bpf_only_where_bpf_is_not_held() {
        for (held, grants) in [
            (Capabilities::from([CAP_BPF, CAP_SYS_ADMIN]), Some(CAP_BPF)),
            ([CAP_SYS_ADMIN].into(), Some(CAP_SYS_ADMIN)),
            ([CAP_PERFMON].into(), None),
            (Capabilities::default(), Some(CAP_BPF)),
        ] {
            assert_eq!(held.granted_by(CAP_BPF), grants, "{held:?}");
        }
        assert_eq!(
            Capabilities::from([CAP_BPF]).granted_by(CAP_SYS_ADMIN),
            None
        );
    }

    #[test]
    fn a_thread_gives_up_its_own_and_no_others() {
        let read = |set| caps::read(None, set).expect("its own");
        let kept = [CAP_NET_ADMIN, CAP_DAC_OVERRIDE];
        let before = read(CapSet::Permitted);
        let after = thread::spawn(move || {
            keep_only(&kept).expect("less is always granted");
            [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable].map(read)
        });
        let after = after.join().expect("it ends");
        let kept: CapsHashSet = before.intersection(&kept.into()).copied().collect();
        assert_eq!(after, [kept.clone(), kept, CapsHashSet::new()]);
        assert_eq!(read(CapSet::Permitted), before);
    }
}
