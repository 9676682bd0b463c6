//! The connections that existed before the programs were attached, in every namespace that can be entered.
//! Their `nf_conn` is unknown until one of their packets passes, so only netlink can say when they end.

use std::collections::HashMap;
use std::collections::HashSet;
use std::mem;
use std::time::Duration;

use shared::record::wire::Record;
use shared::record::wire::known;

use super::census::Census;
use super::schedule::Schedule;
use crate::bpf::table::FlowTable;
use crate::bpf::table::Present;
use crate::bpf::table::Put;
use crate::ctnetlink::namespaces::Dump;
use crate::ctnetlink::namespaces::Namespaces;
use crate::ctnetlink::namespaces::Unentered;
use crate::ctnetlink::scope::Scope;
use crate::flow_entry::Entry;
use crate::flow_entry::Key;
use crate::flow_id::FlowIds;
use crate::sink::Sink;
use crate::unseen::Unseen;

/// How often the kernel is asked about them again, while there are any.
pub const REVIEW_PERIOD: Duration = Duration::from_secs(5);

/// Entries that came from a dump.
pub struct Preexisting {
    namespaces: Namespaces,
    loaded: Loaded,
    schedule: Schedule,
    /// Found by a review in the place of others. They are reported after the ends of these, which come
    /// through the programs' ring buffer.
    successors: Vec<Record>,
    /// Dumps that changed under the reader and may lack entries.
    pub interrupted: u64,
}

/// What the table got from dumps.
struct Loaded {
    /// Fields that the programs' keys have; a key made here must not have more.
    key_known: u32,
    ids: FlowIds,
    /// By namespace.
    flows: HashMap<u32, HashMap<Key, Flow>>,
    /// Number of the review.
    round: u32,
    /// Those without room, by digest: each is counted once, however often it is dumped. The kernel's own
    /// limit bounds them.
    counted: HashSet<u64>,
    full: u64,
    refused: u64,
}

struct Flow {
    /// In our records.
    id: u64,
    /// ctnetlink's.
    kernel_id: u64,
    /// The last review that found it alive.
    seen: u32,
    /// A review has found another connection in its place.
    is_replaced: bool,
}

impl Preexisting {
    /// Opens a socket in the calling thread's namespace.
    ///
    /// # Errors
    /// The reason, in words, if the kernel has no such family.
    pub fn open(scope: Scope, layout_known: u32, ids: FlowIds) -> Result<Self, String> {
        Ok(Self {
            namespaces: Namespaces::open(scope).map_err(|error| error.to_string())?,
            loaded: Loaded {
                key_known: layout_known & (known::NETNS | known::ZONE),
                ids,
                flows: HashMap::new(),
                round: 0,
                counted: HashSet::new(),
                full: 0,
                refused: 0,
            },
            schedule: Schedule::every(REVIEW_PERIOD),
            successors: Vec::new(),
            interrupted: 0,
        })
    }

    /// Entries that could not be parsed.
    pub fn malformed(&self) -> u64 {
        self.namespaces.malformed()
    }

    /// Connections that are not reported, since the table had no room.
    pub fn full(&self) -> u64 {
        self.loaded.full
    }

    /// Connections that are not reported, since the table refused them although it had room.
    pub fn refused(&self) -> u64 {
        self.loaded.refused
    }

    /// Whether a connection was counted, for any reason: the programs must not count it again.
    pub fn has_counted(&self) -> bool {
        self.full() + self.refused() > 0
    }

    /// Adds every connection of every namespace to the table, and reports those that were not there.
    /// Returns the namespaces that could not be entered.
    ///
    /// # Errors
    /// If the kernel refuses the dump of our own namespace.
    pub fn load(&mut self, table: &FlowTable, sink: Sink<'_>) -> anyhow::Result<Unentered> {
        let Self {
            namespaces,
            loaded,
            interrupted,
            ..
        } = self;
        let has_netns = loaded.key_known & known::NETNS != 0;
        let add = |record: Record| loaded.add(&record, table, sink);
        let mut end = |dumped| *interrupted += u64::from(dumped == Dump::Interrupted);
        if has_netns {
            return namespaces.dump_all(add, end);
        }
        // Connections of several namespaces would be one in a table whose keys have no namespace.
        log::info!("the namespace is not known on this kernel: only our own is loaded");
        end(namespaces.dump_own(add)?);
        Ok(Unentered::default())
    }

    /// Counts the live connections that are not in the table: neither a hook nor a dump reported them.
    ///
    /// # Errors
    /// If the kernel refuses the dump, or the table cannot be read.
    pub fn unseen(&mut self, table: &FlowTable) -> anyhow::Result<Unseen> {
        let Self {
            namespaces, loaded, ..
        } = self;
        let has_netns = loaded.key_known & known::NETNS != 0;
        let is_known = |record: &Record| Ok(table.get(&loaded.key(record))?.is_some());
        let census = Census::take(namespaces, has_netns, is_known)?;
        census.wait();
        census.repeat(namespaces, is_known)
    }

    /// If it is due, dumps again and reports the end of those that are gone. Returns when it will be
    /// due again.
    ///
    /// # Errors
    /// If the kernel refuses the dump, or the table cannot be read.
    pub fn review(&mut self, table: &FlowTable, sink: Sink<'_>) -> anyhow::Result<Duration> {
        let Self {
            namespaces,
            loaded,
            successors: waiting,
            ..
        } = self;
        for successor in mem::take(waiting) {
            loaded.add(&successor, table, sink);
        }
        if loaded.flows.is_empty() {
            return Ok(REVIEW_PERIOD);
        }
        let left = self.schedule.run_if_due(|| {
            loaded.round = loaded.round.wrapping_add(1);
            let all: Vec<u32> = loaded.flows.keys().copied().collect();
            let mut successors = Vec::new();
            let mut whole = HashSet::new();
            let see = |record: Record| {
                if !loaded.see(&record) {
                    successors.push(record);
                }
            };
            namespaces.dump_some(all, see, |netns_ino, dumped| {
                // Otherwise what was not seen may still exist.
                if matches!(dumped, Dump::Whole | Dump::Gone) {
                    whole.insert(netns_ino);
                }
            })?;
            for netns_ino in &whole {
                loaded.end_unseen(*netns_ino, table)?;
            }
            // Where the predecessor's end found no room, the next review sees both again.
            successors.retain(|record| whole.contains(&record.netns_ino) && !loaded.has(record));
            *waiting = successors;
            Ok(None)
        })?;
        Ok(if self.successors.is_empty() {
            left
        } else {
            Duration::ZERO
        })
    }
}

impl Loaded {
    fn key(&self, record: &Record) -> Key {
        key_of(self.key_known, record)
    }

    fn add(&mut self, record: &Record, table: &FlowTable, sink: Sink<'_>) {
        let key = self.key(record);
        let kernel_id = record.ct_id;
        let record = Record {
            ct_id: self.ids.next(),
            ..*record
        };
        let entry = Entry::of(&record);
        let is_full = match table.add(&key, &entry) {
            Ok(Put::Added) => None,
            Ok(Put::Present) => return,
            Ok(Put::Full) => Some(true),
            Err(error) => {
                log::debug!("a connection from before the start: {error:#}");
                Some(false)
            }
        };
        if let Some(is_full) = is_full {
            if self.counted.insert(entry.digest(&key)) {
                let count = if is_full {
                    &mut self.full
                } else {
                    &mut self.refused
                };
                *count += 1;
                if let Err(error) = table.note_counted(&key, &entry) {
                    log::debug!("{error:#}");
                }
            }
            return;
        }
        let flow = Flow {
            id: record.ct_id,
            kernel_id,
            seen: self.round,
            is_replaced: false,
        };
        sink(&record);
        self.flows
            .entry(record.netns_ino)
            .or_default()
            .insert(key, flow);
    }

    /// Marks it as alive; `false` if another one has its tuple now.
    fn see(&mut self, record: &Record) -> bool {
        let key = self.key(record);
        let flows = self.flows.get_mut(&record.netns_ino);
        let Some(flow) = flows.and_then(|flows| flows.get_mut(&key)) else {
            return true;
        };
        flow.is_replaced = flow.kernel_id != record.ct_id;
        if !flow.is_replaced {
            flow.seen = self.round;
        }
        !flow.is_replaced
    }

    /// Is there one with the key of this record?
    fn has(&self, record: &Record) -> bool {
        let flows = self.flows.get(&record.netns_ino);
        flows.is_some_and(|flows| flows.contains_key(&self.key(record)))
    }

    /// Reports the end of those that this round has not seen.
    fn end_unseen(&mut self, netns_ino: u32, table: &FlowTable) -> anyhow::Result<()> {
        let Some(flows) = self.flows.get_mut(&netns_ino) else {
            return Ok(());
        };
        let gone = flows.iter().filter(|(_, flow)| flow.seen != self.round);
        let mut reported = Vec::new();
        for (key, flow) in gone {
            // Without room in the ring buffer, the next review tries again.
            if table.end_gone(key, flow.id, flow.is_replaced)? != Present::Stuck {
                reported.push(*key);
            }
        }
        for key in reported {
            flows.remove(&key);
        }
        if flows.is_empty() {
            self.flows.remove(&netns_ino);
        }
        Ok(())
    }
}

/// A key never has more than those of the programs. The status tells which of several it is after a clash.
fn key_of(key_known: u32, record: &Record) -> Key {
    Key::of(&Record {
        known: key_known | (record.known & known::STATUS),
        ..*record
    })
}
