//! The order in which everything is tried, and where: hooks and connection tracking in a network
//! namespace of our own, on a thread of its own.

use std::panic;
use std::thread;
use std::thread::ScopedJoinHandle;

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
use super::privileged;
use super::programs;
use super::token::Token;
use super::tracking::Tracking;

/// Asks everything; the answers come in the order of the names.
///
/// # Errors
/// If no thread can be started.
pub fn all(allow_system_changes: bool) -> anyhow::Result<Vec<Probe>> {
    bpf::silence_libbpf();
    let token = Token::random();
    // Hooks count what a thread of this name does, and it moves to another network namespace, so
    // it must be one that nobody else uses.
    let mut probes = thread::scope(|scope| {
        // Megabytes of BTF take as long to parse as most of the rest takes to try.
        let btf = thread::Builder::new()
            .spawn_scoped(scope, btf::vmlinux)
            .context("start a thread")?;
        thread::Builder::new()
            .name(token.thread_name())
            .spawn_scoped(scope, || examine(&token, allow_system_changes, btf))
            .context("start a thread")
            .map(outcome_of)
    })?;
    probes.sort_by_key(|probe| probe.name);
    Ok(probes)
}

fn examine(
    token: &Token,
    allow_system_changes: bool,
    btf: ScopedJoinHandle<'_, Attempt>,
) -> Vec<Probe> {
    let mut answers = Answers {
        privileges: Privileges::own(),
        probes: Vec::with_capacity(32),
    };
    answers.about_privileges();
    answers.about_bpf(token);
    answers.put(Name::Bpffs, files::bpffs());
    answers.put(Name::Shm, files::shm());
    answers.about_the_network(token, allow_system_changes);
    answers.put(Name::BtfVmlinux, outcome_of(btf));
    answers.probes
}

/// Waits for a thread; its panic, if any, becomes ours.
fn outcome_of<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|payload| panic::resume_unwind(payload))
}

struct Answers {
    privileges: Privileges,
    probes: Vec<Probe>,
}

impl Answers {
    fn put(&mut self, name: Name, attempt: Attempt) {
        self.probes.push(judge(name, attempt, &self.privileges));
    }

    fn about_privileges(&mut self) {
        for (name, capability) in [
            (Name::CapBpf, Capability::CAP_BPF),
            (Name::CapPerfmon, Capability::CAP_PERFMON),
            (Name::CapNetAdmin, Capability::CAP_NET_ADMIN),
            (Name::CapSysAdmin, Capability::CAP_SYS_ADMIN),
        ] {
            let attempt = privileged::capability(capability, &self.privileges);
            self.put(name, attempt);
        }
        self.put(Name::Lockdown, privileged::lockdown(&self.privileges));
        self.put(Name::Memlock, memlock::maps_beyond_the_limit());
    }

    fn about_bpf(&mut self, token: &Token) {
        self.put(Name::BpfSyscall, maps::array());
        self.put(Name::MapArrayMmapable, maps::mmapable(token));
        self.put(Name::MapHash, maps::hash(token));
        self.put(Name::ProgTestRun, programs::test_run(token));
        self.put(Name::ForEachMapElem, programs::for_each());
        self.put(Name::Ringbuf, programs::ringbuf(token));
        let read = programs::read_kernel(token, &self.privileges);
        self.put(Name::ProbeReadKernel, read);
    }

    /// Without a namespace of our own the hooks fire on the loopback of the one we are in, and
    /// nothing is changed there.
    fn about_the_network(&mut self, token: &Token, allow_system_changes: bool) {
        let namespace = network::namespace();
        self.put(Name::Setns, network::moves(namespace.as_ref().ok()));
        let visit = namespace.as_ref().ok().and_then(|own| own.visit().ok());
        self.put(
            Name::Netns,
            namespace.map(|_| "made one, with loopback up".into()),
        );
        self.put(Name::Rtnetlink, network::route());

        let loading = Loading::now(allow_system_changes);
        let tracking = Tracking::switch_on(visit.is_some(), &loading);
        self.put(Name::NftCt, tracking.part(Part::Tracking));
        self.put(Name::CtZones, tracking.either(Part::Zone));
        self.put(Name::CtMark, tracking.either(Part::Mark));
        self.put(Name::NftNat, tracking.rewrites());
        self.put(Name::IptablesCt, tracking.by_iptables());
        self.put(Name::NfConntrack, tracking.tracks());
        self.put(
            Name::Ctnetlink,
            ctnetlink::answers(tracking.is_on(), &loading),
        );
        self.put(
            Name::CtnetlinkEvents,
            ctnetlink::events(tracking.is_on(), &loading),
        );

        let hook = hooks::net_dev_queue(token);
        self.put(Name::RawTracepointNetDevQueue, hook);
        self.put(Name::Kprobe, hooks::kprobe(token));
        let hook = hooks::kprobe_confirm(token, tracking.is_on());
        self.put(Name::KprobeNfConntrackConfirm, hook);
        self.put(Name::Fentry, hooks::fentry(token));
    }
}
