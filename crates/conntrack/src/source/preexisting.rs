//! The connections that existed before the programs were attached. Their `nf_conn` is unknown until
//! one of their packets passes, so only netlink can say when they end.

use std::collections::HashMap;
use std::time::Duration;

use netlink::DumpEnd;
use shared::record::wire::Record;
use shared::record::wire::known;

use super::end_detection::ended;
use super::schedule::Schedule;
use crate::bpf::table::FlowTable;
use crate::bpf::table::Put;
use crate::ctnetlink::dump::Dumper;
use crate::ctnetlink::scope::Scope;
use crate::flow_entry::Entry;
use crate::flow_entry::Key;
use crate::sink::Sink;

/// How often the kernel is asked about them again, while there are any.
pub const REVIEW_PERIOD: Duration = Duration::from_secs(5);

/// Entries that came from a dump.
pub struct Preexisting {
    dumper: Dumper,
    /// Fields that the programs' keys have; a key made here must not have more.
    key_known: u32,
    unconfirmed: HashMap<Key, Record>,
    schedule: Schedule,
    /// Dumps that changed under the reader and may lack entries.
    pub interrupted: u64,
    /// Entries for which there was no room.
    pub full: u64,
}

impl Preexisting {
    /// Opens a socket in the calling thread's namespace.
    ///
    /// # Errors
    /// The reason, in words, if the kernel has no such family.
    pub fn open(scope: Scope, layout_known: u32) -> Result<Self, String> {
        Ok(Self {
            dumper: Dumper::open(scope).map_err(|error| error.to_string())?,
            key_known: layout_known & (known::NETNS | known::ZONE),
            unconfirmed: HashMap::new(),
            schedule: Schedule::every(REVIEW_PERIOD),
            interrupted: 0,
            full: 0,
        })
    }

    /// Entries that could not be parsed.
    pub fn malformed(&self) -> u64 {
        self.dumper.malformed
    }

    /// Adds every connection of the namespace to the table, and reports those that were not there.
    ///
    /// # Errors
    /// If the kernel refuses the dump, or the table an entry.
    pub fn load(&mut self, table: &FlowTable, sink: Sink<'_>) -> anyhow::Result<()> {
        let mut failed = Ok(());
        let end = self.dumper.dump(|record| {
            let key = key(self.key_known, &record);
            match table.add(&key, &Entry::of(&record)) {
                Ok(Put::Added) => {
                    sink(&record);
                    self.unconfirmed.insert(key, record);
                }
                Ok(Put::Present) => {}
                Ok(Put::Full) => self.full += 1,
                Err(error) => failed = Err(error),
            }
        })?;
        self.interrupted += u64::from(end == DumpEnd::Interrupted);
        failed
    }

    /// If it is due, dumps again and reports the end of those that are gone. Returns when it will be
    /// due again.
    ///
    /// # Errors
    /// If the kernel refuses the dump, or the table cannot be read.
    pub fn review(&mut self, table: &FlowTable, sink: Sink<'_>) -> anyhow::Result<Duration> {
        let Self {
            dumper,
            unconfirmed,
            key_known,
            ..
        } = self;
        if unconfirmed.is_empty() {
            return Ok(REVIEW_PERIOD);
        }
        self.schedule.run_if_due(|| {
            let Some(present) = dumper.present(|record| key(*key_known, record))? else {
                return Ok(None);
            };
            let gone: Vec<Key> = unconfirmed
                .keys()
                .filter(|key| !present.contains(*key))
                .copied()
                .collect();
            for key in gone {
                let record = unconfirmed.remove(&key);
                // If its nf_conn has become known, the sweep reports its end.
                let is_unknown = |entry: &Entry| !entry.has_nf_conn();
                if table.get(&key)?.as_ref().is_some_and(is_unknown) && table.remove(&key)? {
                    record.into_iter().for_each(|record| sink(&ended(record)));
                }
            }
            Ok(None)
        })
    }
}

fn key(key_known: u32, record: &Record) -> Key {
    Key::of(&Record {
        known: key_known,
        ..*record
    })
}
