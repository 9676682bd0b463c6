//! The connections that were there before us. Their `nf_conn` is unknown until one of their
//! packets passes by, so that netlink has to say when they end.

use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use netlink::DumpEnd;
use netlink::Protocol;
use netlink::Socket;
use shared::clock::monotonic_ns;
use shared::record::wire::Record;
use shared::record::wire::kind;
use shared::record::wire::known;

use super::pace::Pace;
use super::pace::Stint;
use crate::bpf::FlowTable;
use crate::bpf::table::Put;
use crate::ctnetlink;
use crate::table::Entry;
use crate::table::Key;

/// How often the kernel is asked about them again, while there are any.
pub const REVIEW_PERIOD: Duration = Duration::from_secs(5);

/// What the programs do not know themselves: entries that came from a dump.
pub struct Loaded {
    socket: Socket,
    netns_ino: u32,
    /// Fields that the programs' keys have; a key made here must not have more.
    key_known: u32,
    nat_only: bool,
    unproven: HashMap<Key, Record>,
    pace: Pace,
    /// Dumps that changed under the reader and may lack entries.
    pub interrupted: u64,
    /// Entries that could not be parsed.
    pub malformed: u64,
    /// Entries for which there was no room.
    pub full: u64,
}

impl Loaded {
    /// Opens a socket in the calling thread's namespace.
    ///
    /// # Errors
    /// If the kernel has no such family.
    pub fn open(netns_ino: u32, layout_known: u32, nat_only: bool) -> anyhow::Result<Self> {
        Ok(Self {
            socket: Socket::open(Protocol::Netfilter)?,
            netns_ino,
            key_known: layout_known & (known::NETNS | known::ZONE),
            nat_only,
            unproven: HashMap::new(),
            pace: Pace::every(REVIEW_PERIOD),
            interrupted: 0,
            malformed: 0,
            full: 0,
        })
    }

    /// Puts every connection of the namespace into the table, and tells of each that was not
    /// there.
    ///
    /// # Errors
    /// If the kernel refuses the dump, or the table an entry.
    pub fn load(&mut self, table: &FlowTable, each: &mut dyn FnMut(Record)) -> anyhow::Result<()> {
        let mut failed = None;
        let (mut fresh, mut full) = (Vec::new(), 0);
        let end = self.dump(|key, record| match table.add(&key, &Entry::of(&record)) {
            Ok(Put::Added) => {
                each(record);
                fresh.push((key, record));
            }
            Ok(Put::Present) => {}
            Ok(Put::Full) => full += 1,
            Err(error) => failed = Some(error),
        })?;
        self.full += full;
        self.interrupted += u64::from(end == DumpEnd::Interrupted);
        self.unproven.extend(fresh);
        failed.map_or(Ok(()), Err)
    }

    /// If it is time to, asks again and tells of the end of those that are gone. Says when it will
    /// be time again.
    ///
    /// # Errors
    /// If the kernel refuses the dump, or the table cannot be read.
    pub fn review(
        &mut self,
        table: &FlowTable,
        batch: &mut Vec<Record>,
    ) -> anyhow::Result<Duration> {
        let stint = Stint::begin();
        let begun = stint.begun();
        if self.unproven.is_empty() {
            return Ok(REVIEW_PERIOD);
        }
        if self.pace.is_due(begun) {
            // Also if it fails: another time may be better.
            self.pace.again(begun, REVIEW_PERIOD);
            self.tell_ends(table, batch)?;
            self.pace.done(begun, stint.cost());
        }
        Ok(self.pace.left(Instant::now()))
    }

    fn tell_ends(&mut self, table: &FlowTable, batch: &mut Vec<Record>) -> anyhow::Result<()> {
        let mut present = HashSet::new();
        let end = self.dump(|key, _| {
            present.insert(key);
        })?;
        if end == DumpEnd::Interrupted {
            // What is missing from it may be there all the same.
            return Ok(());
        }
        let gone: Vec<Key> = self
            .unproven
            .keys()
            .filter(|key| !present.contains(*key))
            .copied()
            .collect();
        for key in gone {
            let record = self.unproven.remove(&key);
            // One whose nf_conn has become known is the sweep's business.
            let is_ours = |entry: &Entry| entry.state().ct == 0;
            if table.get(&key)?.as_ref().is_some_and(is_ours) && table.remove(&key)? {
                batch.extend(record.map(|record| Record {
                    r#type: kind::DESTROY,
                    ts_mono_ns: monotonic_ns().unwrap_or(record.ts_mono_ns),
                    ..record
                }));
            }
        }
        Ok(())
    }

    fn dump(&mut self, mut each: impl FnMut(Key, Record)) -> anyhow::Result<DumpEnd> {
        let now_ns = monotonic_ns().context("read the clock")?;
        let (netns_ino, key_known, nat_only) = (self.netns_ino, self.key_known, self.nat_only);
        let malformed = &mut self.malformed;
        let end = ctnetlink::dump(&mut self.socket, |parsed| match parsed {
            Ok(record) if nat_only && record.nat == 0 => {}
            Ok(record) => {
                let record = Record {
                    ts_mono_ns: now_ns,
                    netns_ino,
                    known: record.known | known::NETNS,
                    ..record
                };
                let key = Key::of(&Record {
                    known: key_known,
                    ..record
                });
                each(key, record);
            }
            Err(error) => {
                log::debug!("{error}");
                *malformed += 1;
            }
        })
        .context("dump the kernel's connections")?;
        Ok(end)
    }
}
