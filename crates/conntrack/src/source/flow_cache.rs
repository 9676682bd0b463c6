//! The live connections that a netlink source knows: in memory, and in a pinned table if it has one. Gives each
//! an id of its own, since ctnetlink's is a hash of address and tuple and comes again with both.

use std::collections::HashMap;

use shared::record::wire::Loss;
use shared::record::wire::Record;
use shared::record::wire::kind;

use super::present::Present;
use super::untold_end::untold_end;
use crate::bpf::table::FlowTable;
use crate::bpf::table::Put;
use crate::flow_entry::Entry;
use crate::flow_entry::Key;
use crate::flow_id::FlowIds;
use crate::sink::Sink;

/// Who says that a connection is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teller {
    /// An event of its beginning.
    Event,
    /// A dump. The event may have come before, or still be on its way.
    Dump,
}

/// One connection.
struct Flow {
    /// Its entry for the table, with our id.
    entry: Entry,
    /// ctnetlink's id.
    kernel_id: u64,
    /// The number of the dump whose event may still come; 0: it has come, so the next is another's.
    dump: u32,
}

/// The connections that are known, and those that are not for want of room.
pub struct FlowCache {
    flows: HashMap<Key, Flow>,
    ids: FlowIds,
    /// Connections of IPv4 and of IPv6.
    live: [usize; 2],
    max_entries: u32,
    /// Those without room, with ctnetlink's id: each is counted once and then passed over. The kernel's own
    /// limit bounds them.
    refused: HashMap<(Key, u64), u32>,
    dump: u32,
    full: u64,
    table_refused: u64,
    pub table: Option<FlowTable>,
}

impl FlowCache {
    /// An empty cache.
    pub fn new(max_entries: u32, ids: FlowIds, table: Option<FlowTable>) -> Self {
        Self {
            flows: HashMap::new(),
            ids,
            live: [0; 2],
            max_entries,
            refused: HashMap::new(),
            dump: 1,
            full: 0,
            table_refused: 0,
            table,
        }
    }

    /// Adds a connection and reports it; `false` if it is known already, or there is no room. If its
    /// tuple belonged to another connection whose end was not told, that end is reported first.
    ///
    /// # Errors
    /// If an entry of the table cannot be removed.
    pub fn begin(
        &mut self,
        record: &Record,
        teller: Teller,
        sink: Sink<'_>,
    ) -> anyhow::Result<bool> {
        let key = Key::of(record);
        let dump = if teller == Teller::Dump { self.dump } else { 0 };
        if let Some(flow) = self.flows.get_mut(&key) {
            if flow.is_of(&key, record) && (teller == Teller::Dump || flow.dump != 0) {
                if teller == Teller::Event {
                    flow.dump = 0;
                }
                return Ok(false);
            }
            self.end_untold(&key, sink)?;
        }
        if let Some(told) = self.refused.get_mut(&(key, record.ct_id)) {
            if teller == Teller::Dump || *told != 0 {
                if teller == Teller::Event {
                    *told = 0;
                }
                return Ok(false);
            }
        }
        let ours = Record {
            ct_id: self.ids.next(),
            ..*record
        };
        let entry = Entry::of(&ours);
        if let Err(place) = self.make_room(&key, &entry) {
            match place {
                Loss::TableFull => self.full += 1,
                _ => self.table_refused += 1,
            }
            self.refused.insert((key, record.ct_id), dump);
            return Ok(false);
        }
        self.live[usize::from(key.is_v6())] += 1;
        let kernel_id = record.ct_id;
        let flow = Flow {
            entry,
            kernel_id,
            dump,
        };
        self.flows.insert(key, flow);
        sink(&ours);
        Ok(true)
    }

    /// Enters it in the table, or tells where it is lost.
    fn make_room(&self, key: &Key, entry: &Entry) -> Result<(), Loss> {
        if self.live[usize::from(key.is_v6())] >= self.max_entries as usize {
            return Err(Loss::TableFull);
        }
        let Some(table) = &self.table else {
            return Ok(());
        };
        match table.add(key, entry) {
            Ok(Put::Added | Put::Present) => Ok(()),
            Ok(Put::Full) => Err(Loss::TableFull),
            Err(error) => {
                if self.table_refused == 0 {
                    log::warn!("{error:#}");
                }
                Err(Loss::TableRefused)
            }
        }
    }

    /// Removes a connection that has ended and reports the end, under the id of its beginning. An end of
    /// one that was never reported is not, but for one whose beginning the kernel never tells: that of
    /// the loser of a clash.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn end(&mut self, record: &Record, sink: Sink<'_>) -> anyhow::Result<()> {
        let key = Key::of(record);
        let known = self.flows.get(&key);
        let ct_id = match known.filter(|flow| flow.is_of(&key, record)) {
            Some(flow) => {
                let id = flow.entry.ct_id();
                self.remove(&key)?;
                id
            }
            None if self.refused.remove(&(key, record.ct_id)).is_some() => return Ok(()),
            None if key.has_clashed() => self.ids.next(),
            None => return Ok(()),
        };
        sink(&Record { ct_id, ..*record });
        Ok(())
    }

    /// Removes the connections that a dump has not and that may end in this way, and reports their end.
    /// Forgets those without room that it has not.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn retain(
        &mut self,
        present: &Present,
        may_end: impl Fn(&Key) -> bool,
        sink: Sink<'_>,
    ) -> anyhow::Result<()> {
        let is_gone = |key: &Key, flow: &Flow| {
            // The kernel's dumps hide the loser of a clash.
            !key.has_clashed() && !present.has(key, flow.kernel_id) && may_end(key)
        };
        let gone: Vec<Key> = self
            .flows
            .iter()
            .filter(|(key, flow)| is_gone(key, flow))
            .map(|(key, _)| *key)
            .collect();
        for key in gone {
            self.end_untold(&key, sink)?;
        }
        self.refused.retain(|(key, id), _| present.has(key, *id));
        Ok(())
    }

    /// From now on an event of a beginning is that of a new connection, also where a dump has told of one
    /// with the same address and tuple: whatever was on its way then has come.
    pub fn settle(&mut self) {
        let settled = self.dump;
        for dump in self
            .flows
            .values_mut()
            .map(|flow| &mut flow.dump)
            .chain(self.refused.values_mut())
        {
            if *dump == settled {
                *dump = 0;
            }
        }
        self.dump += 1;
    }

    /// Has the connection been reported?
    pub fn has(&self, record: &Record) -> bool {
        let key = Key::of(record);
        let known = self.flows.get(&key);
        known.is_some_and(|flow| flow.is_of(&key, record))
    }

    /// Is there a live one of this key?
    pub fn has_key(&self, key: &Key) -> bool {
        self.flows.contains_key(key)
    }

    /// Are there any without room?
    pub fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Connections that were lost at this place.
    pub fn lost(&self, place: Loss) -> u64 {
        match place {
            Loss::TableFull => self.full,
            Loss::TableRefused => self.table_refused,
            _ => 0,
        }
    }

    fn end_untold(&mut self, key: &Key, sink: Sink<'_>) -> anyhow::Result<()> {
        if let Some(flow) = self.remove(key)? {
            sink(&untold_end(flow.entry.record(key, kind::DESTROY)));
        }
        Ok(())
    }

    fn remove(&mut self, key: &Key) -> anyhow::Result<Option<Flow>> {
        let Some(flow) = self.flows.remove(key) else {
            return Ok(None);
        };
        self.live[usize::from(key.is_v6())] -= 1;
        if let Some(table) = &self.table {
            let id = flow.entry.ct_id();
            let in_table = table.get(key)?;
            if in_table.is_some_and(|entry| entry.ct_id() == id) {
                table.remove(key)?;
            }
        }
        Ok(Some(flow))
    }
}

impl Flow {
    /// Is the record, of the same key, about this very connection? Its NAT never changes.
    fn is_of(&self, key: &Key, record: &Record) -> bool {
        let known = self.entry.record(key, record.r#type);
        let reply = |it: &Record| (it.reply_src, it.reply_dst, it.reply_sport, it.reply_dport);
        self.kernel_id == record.ct_id && reply(&known) == reply(record)
    }
}

#[cfg(test)]
mod tests;
