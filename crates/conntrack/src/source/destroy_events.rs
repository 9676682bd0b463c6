//! Ends of connections from ctnetlink's destroy events, for programs that cannot tell them on their kernel.
//! Where the kernel dropped some, a dump shows which entries of the table have ended.

use std::collections::HashSet;
use std::time::Duration;

use netlink::DumpEnd;
use netlink::nfnetlink::NFNLGRP_CONNTRACK_DESTROY;
use shared::clock::monotonic_ns;
use shared::record::status::NAT_CLASH;
use shared::record::wire::Loss;
use shared::record::wire::Record;
use shared::record::wire::kind;
use shared::record::wire::known;

use super::schedule::Schedule;
use super::untold_end::untold_end;
use crate::bpf::table::FlowTable;
use crate::ctnetlink::dump::Dumper;
use crate::ctnetlink::listen::Subscription;
use crate::ctnetlink::scope::Scope;
use crate::flow_entry::Entry;
use crate::flow_entry::Key;
use crate::sink::Sink;

/// Events are not waited for: how often they are taken.
const PERIOD: Duration = Duration::from_millis(100);
/// How often a dump is tried again that failed or changed under the reader.
const AGAIN: Duration = Duration::from_secs(1);
const BATCH: usize = 4096;

/// Destroy events of our own namespace.
pub struct DestroyEvents {
    events: Subscription,
    dumper: Dumper,
    netns_ino: u32,
    /// Fields that the programs' keys have.
    key_known: u32,
    overruns: u64,
    schedule: Schedule,
    interrupted: u64,
}

/// What tells an entry from that of another connection with its key, here and in a dump.
type Identity = (Key, [u8; 16], [u8; 16], u16, u16);

fn identity(key: Key, record: &Record) -> Identity {
    (
        key,
        record.reply_src,
        record.reply_dst,
        record.reply_sport,
        record.reply_dport,
    )
}

impl DestroyEvents {
    /// Subscribes in the calling thread's namespace, which is that of the scope.
    ///
    /// # Errors
    /// The reason, in words, if the kernel has no such events.
    pub fn subscribe(scope: Scope, layout_known: u32) -> Result<Self, String> {
        let failed = |error: netlink::Error| error.to_string();
        Ok(Self {
            events: Subscription::join(&[NFNLGRP_CONNTRACK_DESTROY]).map_err(failed)?,
            dumper: Dumper::open(scope).map_err(failed)?,
            netns_ino: scope.netns_ino,
            key_known: layout_known & (known::NETNS | known::ZONE),
            overruns: 0,
            schedule: Schedule::every(AGAIN),
            interrupted: 0,
        })
    }

    /// Reports the ends that have been told, and those that were lost. Returns when to call again.
    ///
    /// # Errors
    /// If the events or the table can no longer be read.
    pub fn run(&mut self, table: &FlowTable, sink: Sink<'_>) -> anyhow::Result<Duration> {
        let key_of = key_maker(self.netns_ino, self.key_known);
        self.events.take(BATCH, |event| {
            let key = key_of(&event);
            let Some(entry) = table.get(&key)? else {
                return Ok(());
            };
            let known = entry.record(&key, kind::DESTROY);
            // Another connection may have the tuple by now.
            if identity(key, &known) == identity(key, &event) && table.remove(&key)? {
                sink(&told_end(known, &event));
            }
            Ok(())
        })?;
        if self.events.overruns > self.overruns {
            let mut schedule = self.schedule;
            let compared = schedule.run_if_due(|| self.compare(table, sink).map(|()| None));
            self.schedule = schedule;
            if let Err(error) = compared {
                log::warn!("the dump after lost events failed: {error:#}");
            }
        }
        Ok(PERIOD)
    }

    /// Losses so far at one place.
    pub fn lost(&self, place: Loss) -> u64 {
        match place {
            Loss::NetlinkOverrun => self.events.overruns,
            Loss::NetlinkMalformed => self.events.malformed + self.dumper.malformed,
            Loss::DumpInterrupted => self.interrupted,
            _ => 0,
        }
    }

    /// Reports the end of what is in the table and not in a dump.
    fn compare(&mut self, table: &FlowTable, sink: Sink<'_>) -> anyhow::Result<()> {
        let overruns = self.events.overruns;
        if self.key_known & known::NETNS == 0 {
            log::warn!("ends were lost, and which is not known: keys have no namespace here");
            self.overruns = overruns;
            self.interrupted += 1;
            return Ok(());
        }
        log::info!("destroy events were lost: comparing with a dump");
        // The table first: what begins during the dump need not be in it.
        let entries: Vec<(Key, Entry)> = [false, true]
            .into_iter()
            .flat_map(|is_v6| table.entries(is_v6))
            .filter(|(key, _)| key.netns_ino() == self.netns_ino)
            .collect();
        let key_of = key_maker(self.netns_ino, self.key_known);
        let mut present = HashSet::new();
        let end = self.dumper.dump(|record| {
            present.insert(identity(key_of(&record), &record));
        })?;
        if end == DumpEnd::Interrupted {
            self.interrupted += 1;
            return Ok(());
        }
        self.overruns = overruns;
        for (key, entry) in ended(entries, &present) {
            let is_same = |now: &Entry| now.ct_id() == entry.ct_id();
            if table.get(&key)?.as_ref().is_some_and(is_same) && table.remove(&key)? {
                sink(&untold_end(entry.record(&key, kind::DESTROY)));
            }
        }
        Ok(())
    }
}

fn key_maker(netns_ino: u32, key_known: u32) -> impl Fn(&Record) -> Key {
    move |record| {
        Key::of(&Record {
            netns_ino,
            known: key_known,
            ..*record
        })
    }
}

/// The end of a known connection with the status and the mark of the event. The event omits a mark of
/// zero, so whether there are marks is what the entry says.
fn told_end(known: Record, event: &Record) -> Record {
    Record {
        r#type: kind::DESTROY,
        ts_mono_ns: monotonic_ns().unwrap_or(known.ts_mono_ns),
        status: event.status,
        mark: event.mark,
        known: known.known & !known::STATUS | event.known & known::STATUS,
        ..known
    }
}

/// The entries that a dump lacks, but for losers of clashes, which no dump shows.
fn ended(
    entries: Vec<(Key, Entry)>,
    present: &HashSet<Identity>,
) -> impl Iterator<Item = (Key, Entry)> {
    entries.into_iter().filter(|(key, entry)| {
        let record = entry.record(key, kind::DESTROY);
        record.status & NAT_CLASH == 0 && !present.contains(&identity(*key, &record))
    })
}

#[cfg(test)]
mod tests {
    use shared::record::status::CONFIRMED;
    use shared::record::wire::address_bytes;
    use shared::record::wire::family;

    use super::*;

    fn flow(port: u16, reply_port: u16, status: u32) -> (Key, Entry, Record) {
        let address = address_bytes([10, 0, 0, 1].into());
        let record = Record {
            family: family::IPV4,
            orig_src: address,
            orig_dst: address,
            reply_src: address,
            reply_dst: address,
            netns_ino: 9,
            known: known::NETNS | known::STATUS | known::MARK,
            ct_id: port.into(),
            orig_sport: port,
            reply_dport: reply_port,
            status,
            mark: 3,
            ..Record::BLANK
        };
        (Key::of(&record), Entry::of(&record), record)
    }

    #[test]
    fn what_a_dump_lacks_has_ended() {
        let flows = [
            flow(1, 1, CONFIRMED),
            flow(2, 2, CONFIRMED),
            flow(3, 3, CONFIRMED),
            flow(4, 4, CONFIRMED | NAT_CLASH),
        ];
        // The third has ended, and another one has begun with its tuple and another translation.
        let alive = [flow(1, 1, CONFIRMED), flow(3, 30, CONFIRMED)];
        let present = alive
            .iter()
            .map(|(key, _, record)| identity(*key, record))
            .collect();
        let entries = flows.map(|(key, entry, _)| (key, entry)).to_vec();
        let gone: Vec<u64> = ended(entries, &present)
            .map(|(_, entry)| entry.ct_id())
            .collect();
        assert_eq!(gone, [2, 3]);
    }

    #[test]
    fn an_end_has_the_status_and_the_mark_of_its_event() {
        let (.., known) = flow(1, 1, CONFIRMED);
        let event = Record {
            known: known::STATUS | known::ZONE,
            status: CONFIRMED | 2,
            ..Record::BLANK
        };
        let end = told_end(known, &event);
        assert_eq!((end.status, end.mark), (CONFIRMED | 2, 0));
        assert_eq!(end.known, known.known);
        let end = told_end(known, &Record::BLANK);
        assert_eq!(end.known, known::NETNS | known::MARK);
    }
}
