//! What the answers of all probes mean together: which source of connections, and which way to
//! its offsets, can be had here. Pure; the tables below are the whole knowledge.

use serde::Serialize;

use crate::name::Name;
use crate::probe::Probe;
use crate::probe::Verdict;

/// Where `conntrack` can get connections from with BPF, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// `--source kprobe`.
    Kprobe,
    /// `--source tracepoint`.
    Tracepoint,
}

impl Source {
    /// The word after `--source`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
        }
    }
}

/// How `guesser` can get the offsets that a BPF source needs, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
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
    /// A BPF source and every offset it needs can be had.
    Ready(Source, Offsets),
    /// Only the netlink fallback works; these probes stand between here and a BPF source.
    Degraded(Vec<Name>),
    /// Nothing works, and these privileges are missing.
    Unprivileged(Vec<String>),
    /// Nothing works whatever the privileges; these probes stand in the way.
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

/// Needed by every BPF source: the table and the way out. The sweep that finds ended connections is
/// not: where a kernel cannot walk a map, before 5.13, their ends come from ctnetlink.
const BPF: &[Name] = &[Name::MapHash, Name::Ringbuf, Name::ProbeReadKernel];

const SOURCES: [(Source, &[Name]); 2] = [
    (Source::Kprobe, &[Name::KprobeNfConntrackConfirm]),
    (Source::Tracepoint, &[Name::RawTracepointNetDevQueue]),
];

/// Needed to measure, whatever switches connection tracking on.
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

/// Decides. A probe that is not among `probes` counts as one that was not answered with yes.
#[must_use]
pub fn decide(probes: &[Probe]) -> Outcome {
    let mut nearest: Option<Vec<Name>> = None;
    for (source, by_source) in SOURCES {
        for (offsets, by_offsets) in OFFSETS {
            let needed = [&[ANY, BPF, by_source], by_offsets].concat();
            let missing = missing(probes, &needed);
            if missing.is_empty() {
                return Outcome::Ready(source, offsets);
            }
            if nearest
                .as_ref()
                .is_none_or(|best| missing.len() < best.len())
            {
                nearest = Some(missing);
            }
        }
    }
    let nearest = nearest.unwrap_or_default();
    let without_netlink = missing(probes, &[ANY, NETLINK]);
    if without_netlink.is_empty() {
        return Outcome::Degraded(nearest);
    }
    let lacks = lacks(probes);
    if lacks.is_empty() {
        let mut in_the_way = nearest;
        in_the_way.extend(without_netlink.iter().filter(|name| !ANY.contains(name)));
        return Outcome::Unsupported(in_the_way);
    }
    Outcome::Unprivileged(lacks)
}

/// Needed probes that were not answered with yes, each once.
fn missing(probes: &[Probe], needed: &[&[Name]]) -> Vec<Name> {
    let mut missing = Vec::new();
    for &name in needed.iter().copied().flatten() {
        let is_there = probes
            .iter()
            .any(|probe| probe.name == name && probe.verdict == Verdict::Yes);
        if !is_there && !missing.contains(&name) {
            missing.push(name);
        }
    }
    missing
}

/// The privileges that any source or way to offsets lacks, each once.
fn lacks(probes: &[Probe]) -> Vec<String> {
    let sources = SOURCES.iter().map(|(_, needs)| *needs);
    let offsets = OFFSETS.iter().flat_map(|(_, needs)| *needs).copied();
    let needed: Vec<Name> = [ANY, BPF, NETLINK]
        .into_iter()
        .chain(sources)
        .chain(offsets)
        .flatten()
        .copied()
        .collect();
    let mut lacks = Vec::new();
    for probe in probes.iter().filter(|probe| needed.contains(&probe.name)) {
        for lack in &probe.lacks {
            if !lacks.contains(lack) {
                lacks.push(lack.clone());
            }
        }
    }
    lacks
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    /// All probes, answered yes but for those named.
    fn all_but(not: &[(Name, Verdict, &[&str])]) -> Vec<Probe> {
        Name::value_variants()
            .iter()
            .map(|&name| {
                let other = not.iter().find(|(but, ..)| *but == name);
                Probe {
                    name,
                    verdict: other.map_or(Verdict::Yes, |(_, verdict, _)| *verdict),
                    errno: None,
                    detail: String::new(),
                    lacks: other.map_or(Vec::new(), |(.., lacks)| {
                        lacks.iter().map(ToString::to_string).collect()
                    }),
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
