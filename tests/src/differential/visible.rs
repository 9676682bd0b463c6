//! What each source cannot see, by kind of flow, with the reason: one table. What is not in it, a source sees all of.

use std::fmt;

/// A source of `conntrack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Source {
    /// Raw tracepoint `net_dev_queue`.
    Tracepoint,
    /// ctnetlink.
    Netlink,
    /// `kprobe` and `kretprobe`.
    Kprobe,
    /// `fentry` and `fexit`.
    Fentry,
}

impl Source {
    /// Its name on the command line and in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tracepoint => "tracepoint",
            Self::Netlink => "netlink",
            Self::Kprobe => "kprobe",
            Self::Fentry => "fentry",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// How much of a kind's connections a source reports. Whatever it reports must be true in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sees {
    /// Every connection, from beginning to end.
    All,
    /// Some of them, or none.
    Some,
    /// Consecutive ones of a tuple with the same translation may be one.
    Merged,
    /// Of a connection whose beginning conntrack-tools do not see either, only the end.
    Ends,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// The kind's name.
    pub kind: &'static str,
    /// The source.
    pub source: Source,
    /// What is left.
    pub sees: Sees,
    /// Why.
    pub because: &'static str,
}

const fn limit(kind: &'static str, source: Source, sees: Sees, because: &'static str) -> Limit {
    Limit {
        kind,
        source,
        sees,
        because,
    }
}

const RECEIVED: &str = "it sees what is transmitted, and these datagrams are only received";
const AT_ONCE: &str = "between two transmitted packets of the tuple, at one address and with one translation, a \
                       connection ended and another began; no reply was transmitted";

/// Every limit.
pub const LIMITS: &[Limit] = &[
    limit("one-way-in", Source::Tracepoint, Sees::Some, RECEIVED),
    limit("broadcast-in", Source::Tracepoint, Sees::Some, RECEIVED),
    limit("deleted-at-once", Source::Tracepoint, Sees::Merged, AT_ONCE),
    limit("refused-again", Source::Tracepoint, Sees::Merged, AT_ONCE),
    limit(
        "clash",
        Source::Netlink,
        Sees::Ends,
        "the kernel sends no event when it inserts the loser of a clash (__nf_conntrack_confirm)",
    ),
];

/// What a source sees of a kind, and why not more.
#[must_use]
pub fn sees(source: Source, kind: &str) -> (Sees, Option<&'static str>) {
    let found = LIMITS
        .iter()
        .find(|limit| limit.source == source && limit.kind == kind);
    found.map_or((Sees::All, None), |limit| (limit.sees, Some(limit.because)))
}
