//! What tells the live connections of a netlink source apart, and those of a dump.

use std::collections::HashSet;

use shared::record::status::NAT_CLASH;
use shared::record::wire::Record;
use shared::record::wire::known;

use crate::flow_entry::Key;

/// What tells live connections apart. Two have one key if the kernel resolved a clash of theirs
/// (`nf_ct_resolve_clash_harder` in `net/netfilter/nf_conntrack_core.c`); the loser's reply tuple is unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    pub key: Key,
    pub clash: Option<([u8; 16], u16, [u8; 16], u16)>,
}

impl Identity {
    /// That of a record's connection.
    pub fn of(record: &Record) -> Self {
        let has_clashed = record.knows(known::STATUS) && record.status & NAT_CLASH != 0;
        Self {
            key: Key::of(record),
            clash: has_clashed.then_some((
                record.reply_src,
                record.reply_sport,
                record.reply_dst,
                record.reply_dport,
            )),
        }
    }
}

/// The connections of a dump: what `FlowCache::retain` takes for alive.
#[derive(Default)]
pub struct Present(HashSet<(Identity, u64)>);

impl Present {
    /// Adds one.
    pub fn insert(&mut self, record: &Record) {
        self.0.insert((Identity::of(record), record.ct_id));
    }

    /// Was it there?
    pub fn has(&self, identity: &Identity, kernel_id: u64) -> bool {
        self.0.contains(&(*identity, kernel_id))
    }
}
