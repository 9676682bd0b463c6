//! What the answers of all probes mean together: which source of connections works here, and which way
//! to its offsets. Pure; the tables below are all that it knows.

use shared::ring::layout::Source;

use crate::name::Name;
use crate::probe::Probe;
use crate::probe::Verdict;

/// How `guesser` can get the offsets that a BPF source needs, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offsets {
    /// `--method guess`.
    Guess,
    /// `--method btf`.
    Btf,
}

impl Offsets {
    /// The word after `--method`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guess => "guess",
            Self::Btf => "btf",
        }
    }
}

/// The answer to "can Sextant run here?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A BPF source works, and so does a way to every offset that it needs.
    Ready(Source, Offsets),
    /// Only the netlink fallback works; a BPF source needs these probes.
    Degraded(Vec<Name>),
    /// No source works, and these privileges are missing.
    Unprivileged(Vec<String>),
    /// No source works, and no privilege is missing; one needs these probes.
    Unsupported(Vec<Name>),
}

impl Outcome {
    /// The word in the report.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ready(..) => "ready",
            Self::Degraded(_) => "degraded",
            Self::Unprivileged(_) => "unprivileged",
            Self::Unsupported(_) => "unsupported",
        }
    }
}

/// Needed by every source: the ring that `conntrack` writes.
const ANY: &[Name] = &[Name::Shm];

/// Needed by every BPF source: the table and the ring buffer. The sweep for ended connections is not:
/// where a kernel cannot iterate over a map, before 5.13, ctnetlink reports their ends.
const BPF: &[Name] = &[Name::MapHash, Name::Ringbuf, Name::ProbeReadKernel];

/// The BPF sources, best first.
const SOURCES: [(Source, &[Name]); 2] = [
    (Source::Kprobe, &[Name::KprobeNfConntrackConfirm]),
    (Source::Tracepoint, &[Name::RawTracepointNetDevQueue]),
];

/// Needed to measure, whatever turns connection tracking on.
const GUESS: &[Name] = &[
    Name::RawTracepointNetDevQueue,
    Name::ProbeReadKernel,
    Name::ProgTestRun,
    Name::MapArrayMmapable,
    Name::Netns,
    Name::NfConntrack,
];

const OFFSETS: [(Offsets, &[&[Name]]); 3] = [
    // Without NAT a status takes too few values to be proven.
    (Offsets::Guess, &[GUESS, &[Name::NftCt, Name::NftNat]]),
    (Offsets::Guess, &[GUESS, &[Name::IptablesCt]]),
    (Offsets::Btf, &[&[Name::BtfVmlinux]]),
];

const NETLINK: &[Name] = &[Name::Ctnetlink, Name::CtnetlinkEvents];

/// Decides. A probe that is not among `probes` counts as one that did not answer yes.
#[must_use]
pub fn decide(probes: &[Probe]) -> Outcome {
    let ways = SOURCES.iter().flat_map(|(source, by_source)| {
        OFFSETS.iter().map(move |(offsets, by_offsets)| {
            let needed = [&[ANY, BPF, *by_source], *by_offsets].concat();
            (missing(probes, &needed), *source, *offsets)
        })
    });
    // Of ways that miss the same number of probes, this takes the first, which is the best.
    let nearest = ways.min_by_key(|(missing, ..)| missing.len());
    let (mut nearest, source, offsets) = nearest.expect("the tables are not empty");
    if nearest.is_empty() {
        return Outcome::Ready(source, offsets);
    }
    let without_netlink = missing(probes, &[ANY, NETLINK]);
    if without_netlink.is_empty() {
        return Outcome::Degraded(nearest);
    }
    let lacks = lacks(probes);
    if lacks.is_empty() {
        nearest.extend(without_netlink.iter().filter(|name| !ANY.contains(name)));
        return Outcome::Unsupported(nearest);
    }
    Outcome::Unprivileged(lacks)
}

/// Needed probes that did not answer yes, each once.
fn missing(probes: &[Probe], needed: &[&[Name]]) -> Vec<Name> {
    let is_yes = |name| {
        let mut probes = probes.iter();
        probes.any(|probe| probe.name == name && probe.answer.verdict == Verdict::Yes)
    };
    each_once(needed.concat().into_iter().filter(|name| !is_yes(*name)))
}

/// The privileges that any source or way to offsets lacks, each once.
fn lacks(probes: &[Probe]) -> Vec<String> {
    let by_source = SOURCES.map(|(_, needed)| needed).concat();
    let by_offsets = OFFSETS.map(|(_, needed)| needed.concat()).concat();
    let needed = [ANY, BPF, NETLINK, &by_source, &by_offsets].concat();
    let probes = probes.iter().filter(|probe| needed.contains(&probe.name));
    each_once(probes.flat_map(|probe| probe.answer.lacks.iter().cloned()))
}

fn each_once<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    for one in all {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;
    use crate::probe::Answer;

    /// All probes, answered yes but for those named.
    fn all_but(not: &[(Name, Verdict, &[&str])]) -> Vec<Probe> {
        Name::value_variants()
            .iter()
            .map(|&name| {
                let other = not.iter().find(|(but, ..)| *but == name);
                let (_, verdict, lacks) = other.copied().unwrap_or((name, Verdict::Yes, &[]));
                let lacks = lacks.iter().map(ToString::to_string).collect();
                let answer = Answer::new(verdict, "");
                Probe {
                    name,
                    answer: Answer { lacks, ..answer },
                }
            })
            .collect()
    }

    fn check(not: &[Name], outcome: &Outcome) {
        let not: Vec<_> = not
            .iter()
            .map(|&name| (name, Verdict::No, [].as_slice()))
            .collect();
        assert_eq!(&decide(&all_but(&not)), outcome, "without {not:?}");
    }

    use Name::*;

    #[test]
    fn the_best_source_and_the_best_way_to_offsets_win() {
        check(&[], &Outcome::Ready(Source::Kprobe, Offsets::Guess));
        for no_kprobe in [
            &[KprobeNfConntrackConfirm][..],
            &[Kprobe, Fentry, KprobeNfConntrackConfirm],
        ] {
            check(
                no_kprobe,
                &Outcome::Ready(Source::Tracepoint, Offsets::Guess),
            );
        }
        for either in [&[NftCt][..], &[NftNat], &[NftCt, NftNat], &[IptablesCt]] {
            check(either, &Outcome::Ready(Source::Kprobe, Offsets::Guess));
        }
        for no_guess in [
            &[Netns][..],
            &[NftCt, IptablesCt],
            &[NftNat, IptablesCt],
            &[NfConntrack],
            &[MapArrayMmapable],
            &[RawTracepointNetDevQueue],
        ] {
            check(no_guess, &Outcome::Ready(Source::Kprobe, Offsets::Btf));
        }
        check(
            &[KprobeNfConntrackConfirm, Netns],
            &Outcome::Ready(Source::Tracepoint, Offsets::Btf),
        );
    }

    #[test]
    fn what_nothing_depends_on_changes_nothing() {
        let idle = [
            CapBpf,
            CapPerfmon,
            CapNetAdmin,
            CapSysAdmin,
            Lockdown,
            Memlock,
            BpfSyscall,
            Kprobe,
            Fentry,
            BtfVmlinux,
            Setns,
            Rtnetlink,
            CtZones,
            CtMark,
            NftNat,
            Ctnetlink,
            CtnetlinkEvents,
            Bpffs,
        ];
        check(&idle, &Outcome::Ready(Source::Kprobe, Offsets::Guess));
    }

    #[test]
    fn without_bpf_netlink_is_left() {
        for bpf in BPF {
            check(&[*bpf], &Outcome::Degraded(vec![*bpf]));
        }
        check(
            &[RawTracepointNetDevQueue, KprobeNfConntrackConfirm],
            &Outcome::Degraded(vec![KprobeNfConntrackConfirm]),
        );
        check(&[Netns, BtfVmlinux], &Outcome::Degraded(vec![Netns]));
        check(
            &[NftCt, IptablesCt, BtfVmlinux],
            &Outcome::Degraded(vec![NftCt]),
        );
    }

    #[test]
    fn without_anything_the_kernel_cannot_do_it() {
        check(
            &[Ringbuf, Ctnetlink],
            &Outcome::Unsupported(vec![Ringbuf, Ctnetlink]),
        );
        check(
            &[Ringbuf, CtnetlinkEvents],
            &Outcome::Unsupported(vec![Ringbuf, CtnetlinkEvents]),
        );
        check(&[Shm], &Outcome::Unsupported(vec![Shm]));
        assert!(matches!(decide(&[]), Outcome::Unsupported(_)));
    }

    #[test]
    fn a_missing_privilege_is_named_before_a_missing_feature() {
        let not = [
            (
                Ringbuf,
                Verdict::Forbidden,
                ["CAP_BPF", "CAP_PERFMON"].as_slice(),
            ),
            (Kprobe, Verdict::Forbidden, &["not needed"]),
            (Netns, Verdict::Forbidden, &["CAP_SYS_ADMIN"]),
            (NftCt, Verdict::Unknown, &[]),
            (ForEachMapElem, Verdict::No, &[]),
            (Ctnetlink, Verdict::Forbidden, &["CAP_NET_ADMIN"]),
        ];
        let lacks = ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN", "CAP_NET_ADMIN"];
        assert_eq!(
            decide(&all_but(&not)),
            Outcome::Unprivileged(lacks.iter().map(ToString::to_string).collect())
        );
        // With the netlink source at hand it is degraded, whatever the reason.
        assert!(matches!(decide(&all_but(&not[..3])), Outcome::Degraded(_)));
    }

    #[test]
    fn a_kernel_that_cannot_walk_a_map_is_ready() {
        let not = all_but(&[(ForEachMapElem, Verdict::No, &[])]);
        assert!(matches!(decide(&not), Outcome::Ready(..)));
    }

    #[test]
    fn forbidden_and_unknown_are_no_yes() {
        for verdict in [Verdict::No, Verdict::Forbidden, Verdict::Unknown] {
            let probes = all_but(&[(MapHash, verdict, &[])]);
            assert_eq!(decide(&probes), Outcome::Degraded(vec![MapHash]));
        }
    }
}
