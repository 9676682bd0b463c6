//! The connections of a dump.

use std::collections::HashSet;

use shared::record::wire::Record;

use crate::flow_entry::Key;

/// What `FlowCache::retain` takes for alive: keys, with ctnetlink's ids.
#[derive(Default)]
pub struct Present(HashSet<(Key, u64)>);

impl Present {
    /// Adds one.
    pub fn insert(&mut self, record: &Record) {
        self.0.insert((Key::of(record), record.ct_id));
    }

    /// Was it there?
    pub fn has(&self, key: &Key, kernel_id: u64) -> bool {
        self.0.contains(&(*key, kernel_id))
    }
}
