//! Where the BPF programs hook into the kernel, as one table: role × mechanism × symbols. From it
//! programs are chosen, loaded and attached; `source::fire` proves each before it counts, with a
//! connection of our own. A new hook is a row here and its programs in `bpf/conntrack.bpf.c`.

use shared::ring::layout::Source;

/// What a hook reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Connections that the kernel confirms.
    Begin,
    /// Connections that user space or another module inserts.
    Insert,
    /// Connections that end.
    End,
}

impl Role {
    /// Every role, in the order in which hooks are attached.
    pub const ALL: [Self; 3] = [Self::Begin, Self::Insert, Self::End];

    /// What it means that no hook of this role works.
    pub fn without(self) -> &'static str {
        match self {
            Self::Begin => "beginnings are not seen",
            Self::Insert => "connections that user space inserts are not seen",
            Self::End => "no hook reports ends of connections",
        }
    }

    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Insert => "insert",
            Self::End => "end",
        }
    }
}

/// A place in the kernel, and the programs that run there.
#[derive(Debug, PartialEq, Eq)]
pub struct Hook {
    pub role: Role,
    /// How the programs are attached.
    pub mechanism: Source,
    /// Names of the function or tracepoint, newest kernel first. The first that exists is used.
    pub symbols: &'static [&'static str],
    /// The program at a function's entry, or at a tracepoint; fexit has the arguments at the return.
    pub at_entry: Option<&'static str>,
    /// The program at a function's return.
    pub at_return: Option<&'static str>,
}

/// Every hook. Rows of the same role and mechanism are alternatives, tried in order.
pub const HOOKS: &[Hook] = &[
    Hook {
        role: Role::Begin,
        mechanism: Source::Fentry,
        symbols: &["__nf_conntrack_confirm"],
        at_entry: None,
        at_return: Some("after_confirm"),
    },
    Hook {
        role: Role::Insert,
        mechanism: Source::Fentry,
        symbols: &["nf_conntrack_hash_check_insert"],
        at_entry: None,
        at_return: Some("after_insert"),
    },
    Hook {
        role: Role::End,
        mechanism: Source::Fentry,
        // Kernels before 6.1 have no BTF of the module, which these programs need.
        symbols: &["nf_ct_destroy"],
        at_entry: Some("before_destroy"),
        at_return: None,
    },
    Hook {
        role: Role::Begin,
        mechanism: Source::Kprobe,
        symbols: &["__nf_conntrack_confirm"],
        at_entry: Some("on_confirm"),
        at_return: Some("on_confirmed"),
    },
    Hook {
        role: Role::Insert,
        mechanism: Source::Kprobe,
        symbols: &["nf_conntrack_hash_check_insert"],
        at_entry: Some("on_insert"),
        at_return: Some("on_inserted"),
    },
    Hook {
        role: Role::End,
        mechanism: Source::Kprobe,
        // Renamed in 6.1.
        symbols: &["nf_ct_destroy", "destroy_conntrack"],
        at_entry: Some("on_destroy"),
        at_return: None,
    },
    Hook {
        role: Role::Begin,
        mechanism: Source::Tracepoint,
        symbols: &["net_dev_queue"],
        at_entry: Some("on_net_dev_queue"),
        at_return: None,
    },
];

impl Hook {
    /// The names of its programs in the BPF object. The one at the return comes first: an argument
    /// that is remembered at the entry and never taken at the return would leak.
    pub fn programs(&self) -> impl Iterator<Item = &'static str> {
        self.at_return.into_iter().chain(self.at_entry)
    }
}

/// The hooks of a mechanism; ctnetlink has none.
pub fn of(mechanism: Source) -> impl Iterator<Item = &'static Hook> {
    HOOKS.iter().filter(move |hook| hook.mechanism == mechanism)
}
