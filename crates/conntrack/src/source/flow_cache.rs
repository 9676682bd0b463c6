//! The live connections that a netlink source knows: in memory, and in a pinned table if it has one.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use shared::record::wire::Record;
use shared::record::wire::kind;
use shared::ring::layout::Source;

use super::end_detection::ended;
use crate::bpf::programs::Programs;
use crate::bpf::programs::Settings;
use crate::bpf::table::FlowTable;
use crate::bpf::table::Put;
use crate::flow_entry::Entry;
use crate::flow_entry::Key;
use crate::sink::Sink;

/// The connections by key.
pub struct FlowCache {
    flows: HashMap<Key, Entry>,
    max_entries: u32,
    is_full: bool,
    pub table: Option<FlowTable>,
}

impl FlowCache {
    /// An empty cache, with a table in BPF maps if it is wanted and the kernel allows it.
    pub fn new(max_entries: u32, with_table: bool) -> Self {
        let table = with_table.then(|| table(max_entries));
        Self {
            flows: HashMap::new(),
            max_entries,
            is_full: false,
            table: table.and_then(|table| {
                table
                    .map_err(|error| log::warn!("no table for --get: {error:#}"))
                    .ok()
            }),
        }
    }

    /// Adds a connection and reports it; `false` if it is known already. If its tuple belonged to
    /// another connection whose end was not seen, that end is reported first.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn begin(&mut self, record: &Record, sink: Sink<'_>) -> anyhow::Result<bool> {
        let (key, entry) = (Key::of(record), Entry::of(record));
        let has_room = self.flows.len() < self.max_entries as usize;
        let mut replaced = None;
        match self.flows.entry(key) {
            Slot::Occupied(slot) if slot.get().ct_id() == record.ct_id => return Ok(false),
            Slot::Occupied(mut slot) => replaced = Some(slot.insert(entry)),
            Slot::Vacant(slot) if has_room => {
                slot.insert(entry);
            }
            Slot::Vacant(_) if !self.is_full => {
                log::warn!("the table is full: --get will miss connections (--max-entries)");
                self.is_full = true;
            }
            Slot::Vacant(_) => {}
        }
        if let Some(table) = &self.table {
            if replaced.is_some() {
                table.remove(&key)?;
            }
            if table.add(&key, &entry)? == Put::Full {
                log::debug!("the pinned table is full");
            }
        }
        if let Some(replaced) = replaced {
            sink(&ended(replaced.record(&key, kind::DESTROY)));
        }
        sink(record);
        Ok(true)
    }

    /// Removes a connection that has ended, but not its successor under the same tuple.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn end(&mut self, record: &Record) -> anyhow::Result<()> {
        let key = Key::of(record);
        let is_same = |entry: &Entry| entry.ct_id() == record.ct_id;
        if self.flows.get(&key).is_some_and(is_same) {
            self.remove(&key)?;
        }
        Ok(())
    }

    /// Removes every connection that is not alive, and reports its end.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn retain(
        &mut self,
        is_alive: impl Fn(&Key, u64) -> bool,
        sink: Sink<'_>,
    ) -> anyhow::Result<()> {
        let gone: Vec<(Key, Entry)> = self
            .flows
            .iter()
            .filter(|(key, entry)| !is_alive(key, entry.ct_id()))
            .map(|(key, entry)| (*key, *entry))
            .collect();
        for (key, entry) in gone {
            self.remove(&key)?;
            sink(&ended(entry.record(&key, kind::DESTROY)));
        }
        Ok(())
    }

    fn remove(&mut self, key: &Key) -> anyhow::Result<()> {
        self.flows.remove(key);
        self.is_full = false;
        if let Some(table) = &self.table {
            table.remove(key)?;
        }
        Ok(())
    }
}

/// The maps outlive the object that they come from.
fn table(max_entries: u32) -> anyhow::Result<FlowTable> {
    let settings = Settings {
        max_entries,
        // Not used, but it must have a page, which is 64 KiB at most.
        ringbuf_bytes: 64 << 10,
        ..Settings::default()
    };
    Programs::load(Source::Netlink, &settings)?.table()
}

#[cfg(test)]
mod tests {
    use shared::record::wire::family;

    use super::*;

    fn flow(port: u16, id: u64) -> Record {
        Record {
            r#type: kind::NEW,
            family: family::IPV4,
            ct_id: id,
            orig_sport: port,
            ..Record::BLANK
        }
    }

    /// Types and ids of what is reported when this connection begins.
    fn begin(cache: &mut FlowCache, port: u16, id: u64) -> Vec<(u8, u64)> {
        let mut reported = Vec::new();
        let is_new = cache
            .begin(&flow(port, id), &mut |record| {
                reported.push((record.r#type, record.ct_id));
            })
            .unwrap();
        assert_eq!(is_new, !reported.is_empty());
        reported
    }

    #[test]
    fn a_connection_begins_once_and_may_be_replaced() {
        let mut cache = FlowCache::new(10, false);
        assert_eq!(begin(&mut cache, 1, 1), [(kind::NEW, 1)]);
        assert_eq!(begin(&mut cache, 1, 1), []);
        let replaced = [(kind::DESTROY, 1), (kind::NEW, 2)];
        assert_eq!(begin(&mut cache, 1, 2), replaced);
        // A late event of an end does not end the successor.
        cache.end(&flow(1, 1)).unwrap();
        assert_eq!(begin(&mut cache, 1, 2), []);
        cache.end(&flow(1, 2)).unwrap();
        assert_eq!(begin(&mut cache, 1, 2), [(kind::NEW, 2)]);
    }

    #[test]
    fn a_full_cache_reports_and_forgets() {
        let mut cache = FlowCache::new(1, false);
        begin(&mut cache, 1, 1);
        assert_eq!(begin(&mut cache, 2, 2), [(kind::NEW, 2)]);
        assert_eq!(begin(&mut cache, 2, 2), [(kind::NEW, 2)]);
        assert!(cache.is_full);
    }

    #[test]
    fn a_connection_that_is_not_alive_has_ended() {
        let mut cache = FlowCache::new(10, false);
        for port in 1..=4 {
            begin(&mut cache, port, port.into());
        }
        let mut ends = Vec::new();
        cache
            .retain(|_, id| id % 2 == 0, &mut |record| ends.push(record.ct_id))
            .unwrap();
        ends.sort_unstable();
        assert_eq!(ends, [1, 3]);
        assert_eq!(begin(&mut cache, 2, 2), []);
    }
}
