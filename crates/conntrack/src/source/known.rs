//! The connections that a netlink source knows: in memory, and, where somebody can read it
//! there, in a pinned table.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use shared::record::wire::Record;

use super::ends::ended;
use crate::bpf::FlowTable;
use crate::bpf::Hook;
use crate::bpf::Object;
use crate::bpf::Programs;
use crate::bpf::Settings;
use crate::bpf::table::Put;
use crate::layout::Layout;
use crate::table::Entry;
use crate::table::Key;

/// What a beginning means.
#[derive(Debug)]
pub enum Begun {
    /// We had not known it.
    Fresh,
    /// We had not known it, and its tuple was another's, of whose end we had not heard.
    Instead(Record),
    /// It is known.
    Known,
}

/// The set.
pub struct Known<'obj> {
    flows: HashMap<Key, Entry>,
    max_entries: u32,
    is_full: bool,
    table: Option<(FlowTable, Programs<'obj>)>,
}

impl<'obj> Known<'obj> {
    /// An empty set, with a table in BPF maps if there is an object for it and the kernel gives
    /// us one.
    #[must_use]
    pub fn new(max_entries: u32, object: Option<&'obj mut Object>) -> Self {
        let table = object.and_then(|object| match maps(max_entries, object) {
            Ok(table) => Some(table),
            Err(error) => {
                log::warn!("no table for --get: {error:#}");
                None
            }
        });
        Self {
            flows: HashMap::new(),
            max_entries,
            is_full: false,
            table,
        }
    }

    /// The table in BPF maps.
    pub fn table(&mut self) -> Option<&mut FlowTable> {
        self.table.as_mut().map(|(table, _)| table)
    }

    /// A connection is there.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn begin(&mut self, record: &Record) -> anyhow::Result<Begun> {
        let (key, entry) = (Key::of(record), Entry::of(record));
        let is_room = self.flows.len() < self.max_entries as usize;
        let begun = match self.flows.entry(key) {
            Slot::Occupied(slot) if slot.get().state().ct_id == record.ct_id => {
                return Ok(Begun::Known);
            }
            Slot::Occupied(mut slot) => Begun::Instead(ended(&key, &slot.insert(entry))),
            Slot::Vacant(slot) => {
                if is_room {
                    slot.insert(entry);
                } else if !self.is_full {
                    log::warn!("the table is full: --get will miss connections (--max-entries)");
                    self.is_full = true;
                }
                Begun::Fresh
            }
        };
        if let Some((table, _)) = &self.table {
            if matches!(begun, Begun::Instead(_)) {
                table.remove(&key)?;
            }
            if table.add(&key, &entry)? == Put::Full {
                log::debug!("the pinned table is full");
            }
        }
        Ok(begun)
    }

    /// A connection is gone.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn end(&mut self, record: &Record) -> anyhow::Result<()> {
        let key = Key::of(record);
        let is_it = |entry: &Entry| entry.state().ct_id == record.ct_id;
        if self.flows.get(&key).is_some_and(is_it) {
            self.forget(&key)?;
        }
        Ok(())
    }

    /// All but those for which `is_alive` says so are gone; each is given to `each` as an end.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn end_others(
        &mut self,
        is_alive: impl Fn(&Key, u64) -> bool,
        each: &mut dyn FnMut(Record),
    ) -> anyhow::Result<()> {
        let gone: Vec<(Key, Entry)> = self
            .flows
            .iter()
            .filter(|(key, entry)| !is_alive(key, entry.state().ct_id))
            .map(|(key, entry)| (*key, *entry))
            .collect();
        for (key, entry) in gone {
            self.forget(&key)?;
            each(ended(&key, &entry));
        }
        Ok(())
    }

    fn forget(&mut self, key: &Key) -> anyhow::Result<()> {
        self.flows.remove(key);
        self.is_full = false;
        if let Some((table, _)) = &self.table {
            table.remove(key)?;
        }
        Ok(())
    }
}

fn maps<'obj>(
    max_entries: u32,
    object: &'obj mut Object,
) -> anyhow::Result<(FlowTable, Programs<'obj>)> {
    let settings = Settings {
        layout: Layout::default(),
        nat_only: false,
        max_entries,
        // Not used, but there: a page is 64 KiB at most.
        ringbuf_bytes: 64 << 10,
        ct_id_secret: 0,
    };
    let programs = Programs::load(object, Hook::None, &settings)?;
    Ok((programs.table()?, programs))
}

#[cfg(test)]
mod tests {
    use shared::record::wire::family;
    use shared::record::wire::kind;

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

    #[test]
    fn a_connection_begins_once_and_may_be_replaced() {
        let mut known = Known::new(10, None);
        assert!(matches!(known.begin(&flow(1, 1)).unwrap(), Begun::Fresh));
        assert!(matches!(known.begin(&flow(1, 1)).unwrap(), Begun::Known));
        match known.begin(&flow(1, 2)).unwrap() {
            Begun::Instead(of) => assert_eq!((of.r#type, of.ct_id), (kind::DESTROY, 1)),
            other => panic!("{other:?}"),
        }
        // News of an end that come late do not end the successor.
        known.end(&flow(1, 1)).unwrap();
        assert!(matches!(known.begin(&flow(1, 2)).unwrap(), Begun::Known));
        known.end(&flow(1, 2)).unwrap();
        assert!(matches!(known.begin(&flow(1, 2)).unwrap(), Begun::Fresh));
    }

    #[test]
    fn a_full_set_tells_and_forgets() {
        let mut known = Known::new(1, None);
        known.begin(&flow(1, 1)).unwrap();
        assert!(matches!(known.begin(&flow(2, 2)).unwrap(), Begun::Fresh));
        assert!(matches!(known.begin(&flow(2, 2)).unwrap(), Begun::Fresh));
        assert!(known.is_full);
    }

    #[test]
    fn who_is_not_alive_has_ended() {
        let mut known = Known::new(10, None);
        for port in 1..=4 {
            known.begin(&flow(port, port.into())).unwrap();
        }
        let mut ends = Vec::new();
        known
            .end_others(|_, id| id % 2 == 0, &mut |record| ends.push(record.ct_id))
            .unwrap();
        ends.sort_unstable();
        assert_eq!(ends, [1, 3]);
        assert!(matches!(known.begin(&flow(2, 2)).unwrap(), Begun::Known));
    }
}
