//! The live connections that a netlink source knows: in memory, and in a pinned table if it has one. Gives each
//! an id of its own, since ctnetlink's is a hash of address and tuple and comes again with both.

use std::collections::HashMap;
use std::collections::HashSet;

use shared::record::status::NAT_CLASH;
use shared::record::wire::Loss;
use shared::record::wire::Record;
use shared::record::wire::kind;
use shared::record::wire::known;

use super::untold_end::untold_end;
use crate::bpf::table::FlowTable;
use crate::bpf::table::Put;
use crate::flow_entry::Entry;
use crate::flow_entry::Key;
use crate::flow_id::FlowIds;
use crate::sink::Sink;

/// What tells live connections apart. Two have one key if the kernel resolved a clash of theirs
/// (`nf_ct_resolve_clash_harder` in `net/netfilter/nf_conntrack_core.c`); the loser's reply tuple is unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    key: Key,
    clash: Option<([u8; 16], u16, [u8; 16], u16)>,
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
    flows: HashMap<Identity, Flow>,
    ids: FlowIds,
    /// Connections of IPv4 and of IPv6.
    live: [usize; 2],
    max_entries: u32,
    /// Those without room, with ctnetlink's id: each is counted once and then passed over. The kernel's own
    /// limit bounds them.
    refused: HashMap<(Identity, u64), u32>,
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
        let identity = Identity::of(record);
        let dump = if teller == Teller::Dump { self.dump } else { 0 };
        if let Some(flow) = self.flows.get_mut(&identity) {
            if flow.is_of(&identity.key, record) && (teller == Teller::Dump || flow.dump != 0) {
                if teller == Teller::Event {
                    flow.dump = 0;
                }
                return Ok(false);
            }
            self.end_untold(&identity, sink)?;
        }
        if let Some(told) = self.refused.get_mut(&(identity, record.ct_id)) {
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
        if let Err(place) = self.make_room(&identity.key, &entry) {
            match place {
                Loss::TableFull => self.full += 1,
                _ => self.table_refused += 1,
            }
            self.refused.insert((identity, record.ct_id), dump);
            return Ok(false);
        }
        self.live[usize::from(identity.key.is_v6())] += 1;
        let kernel_id = record.ct_id;
        let flow = Flow {
            entry,
            kernel_id,
            dump,
        };
        self.flows.insert(identity, flow);
        sink(&ours);
        Ok(true)
    }

    /// Enters it in the table, or tells where it is lost.
    fn make_room(&self, key: &Key, entry: &Entry) -> Result<(), Loss> {
        if self.live[usize::from(key.is_v6())] >= self.max_entries as usize {
            if self.full == 0 {
                log::warn!("the table is full: connections are neither kept nor reported");
            }
            return Err(Loss::TableFull);
        }
        let Some(table) = &self.table else {
            return Ok(());
        };
        match table.add(key, entry) {
            // Two that have clashed share a key of the table, which has the first of them.
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
        let identity = Identity::of(record);
        let known = self.flows.get(&identity);
        let ct_id = match known.filter(|flow| flow.is_of(&identity.key, record)) {
            Some(flow) => {
                let id = flow.entry.ct_id();
                self.remove(&identity)?;
                id
            }
            None if self.refused.remove(&(identity, record.ct_id)).is_some() => return Ok(()),
            None if identity.clash.is_some() => self.ids.next(),
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
        may_end: impl Fn(&Identity) -> bool,
        sink: Sink<'_>,
    ) -> anyhow::Result<()> {
        let is_gone = |identity: &Identity, flow: &Flow| {
            // The kernel's dumps hide the loser of a clash.
            identity.clash.is_none() && !present.has(identity, flow.kernel_id) && may_end(identity)
        };
        let gone: Vec<Identity> = self
            .flows
            .iter()
            .filter(|(identity, flow)| is_gone(identity, flow))
            .map(|(identity, _)| *identity)
            .collect();
        for identity in gone {
            self.end_untold(&identity, sink)?;
        }
        self.refused
            .retain(|(identity, id), _| present.has(identity, *id));
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
        let identity = Identity::of(record);
        let known = self.flows.get(&identity);
        known.is_some_and(|flow| flow.is_of(&identity.key, record))
    }

    /// Is there a live one of this identity?
    pub fn has_identity(&self, identity: &Identity) -> bool {
        self.flows.contains_key(identity)
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

    fn end_untold(&mut self, identity: &Identity, sink: Sink<'_>) -> anyhow::Result<()> {
        if let Some(flow) = self.remove(identity)? {
            sink(&untold_end(flow.entry.record(&identity.key, kind::DESTROY)));
        }
        Ok(())
    }

    fn remove(&mut self, identity: &Identity) -> anyhow::Result<Option<Flow>> {
        let Some(flow) = self.flows.remove(identity) else {
            return Ok(None);
        };
        self.live[usize::from(identity.key.is_v6())] -= 1;
        if let Some(table) = &self.table {
            let id = flow.entry.ct_id();
            let in_table = table.get(&identity.key)?;
            if in_table.is_some_and(|entry| entry.ct_id() == id) {
                table.remove(&identity.key)?;
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

/// The connections of a dump: what [`FlowCache::retain`] takes for alive.
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

#[cfg(test)]
mod tests {
    use shared::record::wire::address_bytes;
    use shared::record::wire::family;

    use super::*;

    fn flow(port: u16, kernel_id: u64) -> Record {
        let [a, b] = [1, 2].map(|last| address_bytes([10, 0, 0, last].into()));
        Record {
            r#type: kind::NEW,
            family: family::IPV4,
            ct_id: kernel_id,
            orig_src: a,
            orig_dst: b,
            reply_src: b,
            reply_dst: a,
            orig_sport: port,
            known: known::STATUS,
            ..Record::BLANK
        }
    }

    fn cache(max_entries: u32) -> FlowCache {
        FlowCache::new(max_entries, FlowIds::of_user_space().unwrap(), None)
    }

    /// What one call reports: types and ids.
    type Reported = Vec<(u8, u64)>;

    fn reported(call: impl FnOnce(Sink<'_>)) -> Reported {
        let mut reported = Vec::new();
        call(&mut |record| reported.push((record.r#type, record.ct_id)));
        reported
    }

    fn begin(cache: &mut FlowCache, record: &Record, teller: Teller) -> Reported {
        reported(|sink| {
            cache.begin(record, teller, sink).unwrap();
        })
    }

    fn event(cache: &mut FlowCache, port: u16, id: u64) -> Reported {
        begin(cache, &flow(port, id), Teller::Event)
    }

    fn end(cache: &mut FlowCache, record: &Record) -> Reported {
        let record = Record {
            r#type: kind::DESTROY,
            ..*record
        };
        reported(|sink| cache.end(&record, sink).unwrap())
    }

    #[test]
    fn a_connection_with_the_kernels_old_id_has_another_of_ours() {
        let mut cache = cache(10);
        let first = event(&mut cache, 1, 7);
        let ended = end(&mut cache, &flow(1, 7));
        let second = event(&mut cache, 1, 7);
        assert_eq!((first.len(), ended.len(), second.len()), (1, 1, 1));
        assert_eq!(ended, [(kind::DESTROY, first[0].1)]);
        assert_ne!(first[0].1, second[0].1);
        // Its end was lost: the kernel never tells of one beginning twice.
        let third = event(&mut cache, 1, 7);
        assert_eq!(third[0], (kind::DESTROY, second[0].1));
        assert_eq!((third.len(), third[1].0), (2, kind::NEW));
    }

    #[test]
    fn a_connection_may_be_replaced_and_a_late_end_is_not_its_successors() {
        let mut cache = cache(10);
        let first = event(&mut cache, 1, 1);
        let second = event(&mut cache, 1, 2);
        assert_eq!(second[0], (kind::DESTROY, first[0].1));
        assert_eq!(second.len(), 2);
        assert_eq!(end(&mut cache, &flow(1, 1)), []);
        assert_eq!(end(&mut cache, &flow(1, 2)).len(), 1);
        assert_eq!(end(&mut cache, &flow(1, 2)), [], "no end comes twice");
    }

    #[test]
    fn a_dump_and_the_event_that_was_on_its_way_are_one_beginning() {
        let mut cache = cache(10);
        let dumped = begin(&mut cache, &flow(1, 1), Teller::Dump);
        assert_eq!(dumped.len(), 1);
        assert_eq!(begin(&mut cache, &flow(1, 1), Teller::Dump), []);
        assert_eq!(event(&mut cache, 1, 1), []);
        let another = event(&mut cache, 1, 1);
        assert_eq!(another[0], (kind::DESTROY, dumped[0].1));
        // Nothing is on its way any more.
        let settled = begin(&mut cache, &flow(2, 2), Teller::Dump);
        cache.settle();
        let another = event(&mut cache, 2, 2);
        assert_eq!(another[0], (kind::DESTROY, settled[0].1));
        assert_eq!(another.len(), 2);
    }

    #[test]
    fn another_translation_is_another_connection() {
        let mut cache = cache(10);
        let dumped = begin(&mut cache, &flow(1, 1), Teller::Dump);
        let elsewhere = Record {
            reply_sport: 99,
            ..flow(1, 1)
        };
        let reborn = begin(&mut cache, &elsewhere, Teller::Event);
        assert_eq!(reborn[0], (kind::DESTROY, dumped[0].1));
        assert!(cache.has(&elsewhere) && !cache.has(&flow(1, 1)));
    }

    #[test]
    fn what_has_no_room_is_counted_once_and_never_reported() {
        let mut cache = cache(1);
        assert_eq!(event(&mut cache, 1, 1).len(), 1);
        for _ in 0..2 {
            assert_eq!(begin(&mut cache, &flow(2, 2), Teller::Dump), []);
        }
        assert_eq!(event(&mut cache, 2, 2), []);
        assert_eq!(cache.lost(Loss::TableFull), 1);
        // Room for it comes too late.
        end(&mut cache, &flow(1, 1));
        assert_eq!(begin(&mut cache, &flow(2, 2), Teller::Dump), []);
        assert_eq!(end(&mut cache, &flow(2, 2)), []);
        assert_eq!(event(&mut cache, 2, 2).len(), 1);
        assert_eq!(cache.lost(Loss::TableFull), 1);
        // Each family has its own room.
        let family = family::IPV6;
        let v6 = Record {
            family,
            ..flow(3, 3)
        };
        assert_eq!(begin(&mut cache, &v6, Teller::Event).len(), 1);
        assert_eq!(event(&mut cache, 4, 4), []);
        assert_eq!(cache.lost(Loss::TableFull), 2);
    }

    #[test]
    fn the_loser_of_a_clash_is_beside_the_winner() {
        let mut cache = cache(10);
        let winner = event(&mut cache, 1, 1);
        let loser = Record {
            status: NAT_CLASH,
            reply_sport: 2,
            ..flow(1, 2)
        };
        // Of its beginning the kernel does not tell.
        let ended = end(&mut cache, &loser);
        assert_eq!((ended.len(), ended[0].0), (1, kind::DESTROY));
        assert_ne!(ended[0].1, winner[0].1);
        // If it did, both would live.
        assert_eq!(begin(&mut cache, &loser, Teller::Event).len(), 1);
        let none = reported(|sink| cache.retain(&Present::default(), |_| false, sink).unwrap());
        assert_eq!(none, []);
        let gone = reported(|sink| cache.retain(&Present::default(), |_| true, sink).unwrap());
        assert_eq!(gone, [(kind::DESTROY, winner[0].1)]);
        assert!(cache.has(&loser));
    }

    #[test]
    fn what_a_dump_lacks_has_ended_with_a_status_that_nobody_knows() {
        let mut cache = cache(10);
        let ids: Vec<u64> = (1..=4)
            .map(|port| event(&mut cache, port, port.into())[0].1)
            .collect();
        let mut present = Present::default();
        for port in [2, 4] {
            present.insert(&flow(port, port.into()));
        }
        let mut ends = Vec::new();
        cache
            .retain(&present, |_| true, &mut |record| {
                assert_eq!((record.r#type, record.known), (kind::DESTROY, 0));
                ends.push(record.ct_id);
            })
            .unwrap();
        ends.sort_unstable();
        let mut expected = [ids[0], ids[2]];
        expected.sort_unstable();
        assert_eq!(ends, expected);
    }
}
