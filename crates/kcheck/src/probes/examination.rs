//! Which function tries each probe, in which order and where: hooks and connection tracking in our own
//! network namespace, on a thread of its own.

use std::panic;
use std::thread;

use anyhow::Context as _;
use lab::Part;
use shared::capability::Capability;

use crate::bpf;
use crate::judge::judge;
use crate::name::Name;
use crate::privileges::Privileges;
use crate::probe::Attempt;
use crate::probe::Probe;

use super::btf;
use super::ctnetlink;
use super::files;
use super::hooks;
use super::loading::Loading;
use super::maps;
use super::memlock;
use super::network;
use super::permissions;
use super::programs;
use super::token::Token;
use super::tracking::Tracking;

/// Tries every probe; the answers come in the order of the names.
///
/// # Errors
/// If no thread can be started.
pub fn all(allow_system_changes: bool) -> anyhow::Result<Vec<Probe>> {
    bpf::silence_libbpf();
    let token = Token::random();
    let privileges = Privileges::own();
    let mut attempts = thread::scope(|scope| {
        // Hooks count what a thread of this name does, and it moves to another network namespace, so
        // no other code may run on it.
        let examination = thread::Builder::new()
            .name(token.thread_name())
            .spawn_scoped(scope, || examine(&token, &privileges, allow_system_changes))
            .context("start a thread")?;
        // Parsing megabytes of BTF takes as long as most of the rest, so it runs beside it.
        let btf = (Name::BtfVmlinux, btf::vmlinux());
        let mut attempts = examination
            .join()
            .unwrap_or_else(|payload| panic::resume_unwind(payload));
        attempts.push(btf);
        anyhow::Ok(attempts)
    })?;
    attempts.sort_by_key(|(name, _)| *name);
    let judged = attempts
        .into_iter()
        .map(|(name, attempt)| judge(name, attempt, &privileges));
    Ok(judged.collect())
}

fn examine(
    token: &Token,
    privileges: &Privileges,
    allow_system_changes: bool,
) -> Vec<(Name, Attempt)> {
    let capability = |needed| permissions::capability(needed, privileges);
    let mut attempts = vec![
        (Name::CapBpf, capability(Capability::CAP_BPF)),
        (Name::CapPerfmon, capability(Capability::CAP_PERFMON)),
        (Name::CapNetAdmin, capability(Capability::CAP_NET_ADMIN)),
        (Name::CapSysAdmin, capability(Capability::CAP_SYS_ADMIN)),
        (Name::Lockdown, permissions::lockdown(privileges)),
        (Name::Memlock, memlock::maps_beyond_the_limit()),
        (Name::BpfSyscall, maps::array()),
        (Name::MapArrayMmapable, maps::mmapable(token)),
        (Name::MapHash, maps::hash(token)),
        (Name::ProgTestRun, programs::test_run(token)),
        (Name::ForEachMapElem, programs::for_each()),
        (Name::Ringbuf, programs::ringbuf(token)),
        (
            Name::ProbeReadKernel,
            programs::read_kernel(token, privileges),
        ),
        (Name::Bpffs, files::bpffs()),
        (Name::Shm, files::shm()),
    ];

    // Without our own namespace the hooks fire on the loopback of the one that we are in, and nothing is
    // changed there.
    let namespace = network::namespace();
    let setns = network::moves(namespace.as_ref().ok());
    let visit = namespace.as_ref().ok().and_then(|own| own.visit().ok());
    let netns = namespace.map(|_| "made one, with loopback up".into());
    let loading = Loading::now(allow_system_changes);
    let tracking = Tracking::switch_on(visit.is_some(), &loading);
    let tracked = tracking.is_on();
    attempts.extend([
        (Name::Setns, setns),
        (Name::Netns, netns),
        (Name::Rtnetlink, network::route()),
        (Name::NftCt, tracking.part(Part::Tracking)),
        (Name::CtZones, tracking.either(Part::Zone)),
        (Name::CtMark, tracking.either(Part::Mark)),
        (Name::NftNat, tracking.rewrites()),
        (Name::IptablesCt, tracking.by_iptables()),
        (Name::NfConntrack, tracking.tracks()),
        (Name::Ctnetlink, ctnetlink::answers(tracked, &loading)),
        (Name::CtnetlinkEvents, ctnetlink::events(tracked, &loading)),
        (Name::RawTracepointNetDevQueue, hooks::net_dev_queue(token)),
        (Name::Kprobe, hooks::kprobe(token)),
        (
            Name::KprobeNfConntrackConfirm,
            hooks::kprobe_confirm(token, tracked),
        ),
        (Name::Fentry, hooks::fentry(token)),
    ]);
    attempts
}
