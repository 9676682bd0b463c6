//! The capabilities that the experiment needs, and how each thread gives them up when its part that
//! needs them is done.
//!
//! Tried one by one on Linux 6.18, as a user who is not root: a namespace is made and entered with
//! `CAP_SYS_ADMIN`; its loopback, its rules, `nf_conntrack_udp_timeout` and marks take
//! `CAP_NET_ADMIN`; the programs take `CAP_BPF` and `CAP_PERFMON`, or `CAP_SYS_ADMIN` alone.

use anyhow::Context as _;
use caps::CapSet;
use caps::Capability;
use caps::CapsHashSet;
use shared::exit::Failure;

/// Each with what it is for.
const NEEDED: [(Capability, &str); 4] = [
    (Capability::CAP_BPF, "load the capture program"),
    (Capability::CAP_PERFMON, "read kernel memory"),
    (Capability::CAP_NET_ADMIN, "set marks and rules"),
    (Capability::CAP_SYS_ADMIN, "make network namespaces"),
];

/// To open sockets, to read BTF, and to write to stdout.
pub const NOTHING: &[Capability] = &[];
/// To mark sockets and to set timeouts, once hooks are attached and namespaces are there.
pub const SAMPLING: &[Capability] = &[Capability::CAP_NET_ADMIN];
/// To put a file where root may, whoever owns the folder; a user who is not root has neither.
pub const FILES: &[Capability] = &[Capability::CAP_DAC_OVERRIDE, Capability::CAP_FOWNER];
/// To make a map and pin it. Before 5.19 every command of `bpf()` wants `CAP_BPF` if
/// `kernel.unprivileged_bpf_disabled` is set, later only those that make something.
pub const PINS: &[Capability] = &[
    Capability::CAP_BPF,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
];

/// Refuses if a capability is missing.
///
/// # Errors
/// Exit 4, naming each that is missing.
pub fn check() -> anyhow::Result<()> {
    let held = caps::read(None, CapSet::Effective).context("read this process's capabilities")?;
    let missing = missing(&held);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::Privilege(format!("missing {missing}")).into())
}

/// What is not there, for people; empty if nothing is missing.
fn missing(held: &CapsHashSet) -> String {
    let missing: Vec<String> = NEEDED
        .iter()
        .filter(|(capability, _)| bearer(*capability, held).is_none())
        .map(|(capability, purpose)| format!("{capability} (to {purpose})"))
        .collect();
    missing.join(", ")
}

/// The capability that is held and gives the power of this one.
fn bearer(capability: Capability, held: &CapsHashSet) -> Option<Capability> {
    // `bpf_capable()` and `perfmon_capable()`: it was all there was before 5.8, and still includes
    // the two.
    let includes_it = match capability {
        Capability::CAP_BPF | Capability::CAP_PERFMON => Capability::CAP_SYS_ADMIN,
        other => other,
    };
    let mut bearers = [capability, includes_it].into_iter();
    bearers.find(|bearer| held.contains(bearer))
}

/// Gives up, for the calling thread and for good, every capability but these and those `later`.
///
/// # Errors
/// If the kernel refuses, as a seccomp filter may.
pub fn keep_only(now: &[Capability], later: &[Capability]) -> anyhow::Result<()> {
    let failed = "give up capabilities";
    let held = caps::read(None, CapSet::Permitted).context(failed)?;
    let kept: CapsHashSet = now
        .iter()
        .chain(later)
        .filter_map(|capability| bearer(*capability, &held))
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

    #[test]
    fn each_missing_capability_is_named() {
        let held = |all: &[Capability]| all.iter().copied().collect::<CapsHashSet>();
        let [bpf, perfmon, net, sys] = NEEDED.map(|(capability, _)| capability);
        for (capabilities, named) in [
            (&[bpf, perfmon, net, sys][..], &[][..]),
            (&[net, sys], &[]),
            (&[bpf, perfmon, sys], &[net]),
            (&[bpf, perfmon, net], &[sys]),
            (&[perfmon, net], &[bpf, sys]),
            (&[bpf, net], &[perfmon, sys]),
            (&[], &[bpf, perfmon, net, sys]),
        ] {
            let text = missing(&held(capabilities));
            for (capability, _) in NEEDED {
                let is_named = text.contains(&capability.to_string());
                assert_eq!(is_named, named.contains(&capability), "{text}");
            }
        }
    }

    #[test]
    fn what_stands_in_for_another_is_kept_only_if_that_is_not_there() {
        let held = |all: &[Capability]| all.iter().copied().collect::<CapsHashSet>();
        let (bpf, sys) = (Capability::CAP_BPF, Capability::CAP_SYS_ADMIN);
        assert_eq!(bearer(bpf, &held(&[bpf, sys])), Some(bpf));
        assert_eq!(bearer(bpf, &held(&[sys])), Some(sys));
        assert_eq!(bearer(sys, &held(&[bpf])), None);
    }

    #[test]
    fn a_thread_gives_up_its_own_and_no_others() {
        let read = |set| caps::read(None, set).expect("its own");
        let before = read(CapSet::Permitted);
        let after = thread::spawn(move || {
            keep_only(SAMPLING, FILES).expect("less is always granted");
            [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable].map(read)
        });
        let after = after.join().expect("it ends");
        let kept: CapsHashSet = SAMPLING
            .iter()
            .chain(FILES)
            .copied()
            .filter(|capability| before.contains(capability))
            .collect();
        assert_eq!(after, [kept.clone(), kept, CapsHashSet::new()]);
        assert_eq!(read(CapSet::Permitted), before);
    }
}
