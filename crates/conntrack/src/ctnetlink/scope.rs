//! Which of the kernel's entries are of interest, and what a message does not say about them.

use anyhow::Context as _;
use netlink::netns::Namespace;
use shared::record::wire::Record;
use shared::record::wire::known;

/// One namespace, and perhaps only its connections with NAT.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    pub netns_ino: u32,
    nat_only: bool,
}

impl Scope {
    /// The calling thread's namespace.
    ///
    /// # Errors
    /// If `/proc` does not show it.
    pub fn own(nat_only: bool) -> anyhow::Result<Self> {
        let own = Namespace::current().context("own network namespace")?;
        Ok(Self {
            netns_ino: own.inum(),
            nat_only,
        })
    }

    /// The same in another namespace.
    pub fn of(self, namespace: &Namespace) -> Self {
        Self {
            netns_ino: namespace.inum(),
            ..self
        }
    }

    /// Adds time and namespace to a parsed record; `None` if it is of no interest.
    pub fn complete(&self, record: Record, now_ns: u64) -> Option<Record> {
        (!self.nat_only || record.nat != 0).then_some(Record {
            ts_mono_ns: now_ns,
            netns_ino: self.netns_ino,
            known: record.known | known::NETNS,
            ..record
        })
    }
}
