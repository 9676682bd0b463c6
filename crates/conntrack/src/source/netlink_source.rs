//! Events from ctnetlink: works wherever conntrack(8) does, for the own namespace only, and costs
//! the packet path about 2 microseconds for each connection. A dump finds what the kernel dropped.

use std::collections::HashSet;
use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::Context as _;
use netlink::DumpEnd;
use netlink::nfnetlink::NFNLGRP_CONNTRACK_DESTROY;
use netlink::nfnetlink::NFNLGRP_CONNTRACK_NEW;
use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use shared::clock::monotonic_ns;
use shared::exit::Failure;
use shared::record::wire::Loss;
use shared::record::wire::kind;
use shared::ring::layout::Source;

use super::event_source::EventSource;
use super::flow_cache::FlowCache;
use super::preexisting::REVIEW_PERIOD;
use super::schedule::Schedule;
use crate::bpf::table::FlowTable;
use crate::ctnetlink::dump::Dumper;
use crate::ctnetlink::listen::Subscription;
use crate::ctnetlink::modules::may_be_used;
use crate::ctnetlink::scope::Scope;
use crate::flow_entry::Key;
use crate::plan::Plan;
use crate::sink::Sink;
use crate::sink::wait;

/// Records that one call takes at most.
const BATCH: usize = 4096;

/// A subscription, and the connections that it has reported.
pub struct NetlinkSource {
    events: Subscription,
    dumper: Dumper,
    flows: FlowCache,
    scope: Scope,
    /// Connections that the kernel reports no end of: it keeps events only for those that begin
    /// while a program listens (`nf_conntrack_events` 2, the default since 5.19).
    without_events: HashSet<Key>,
    schedule: Schedule,
    interrupted: u64,
}

impl NetlinkSource {
    /// Joins the groups in the calling thread's namespace.
    ///
    /// # Errors
    /// If the kernel has no conntrack events, may not load what it needs for them, or a privilege
    /// is missing.
    pub fn open(plan: &Plan, is_pinned: bool) -> anyhow::Result<Self> {
        may_be_used(plan.may_change_system()).map_err(Failure::Kernel)?;
        let groups = [NFNLGRP_CONNTRACK_NEW, NFNLGRP_CONNTRACK_DESTROY];
        let events = Subscription::join(&groups).map_err(|error| refused(&error))?;
        let scope = Scope::own(plan.cli.nat_only)?;
        Ok(Self {
            events,
            dumper: Dumper::open(scope)?,
            flows: FlowCache::new(plan.cli.max_entries, is_pinned),
            scope,
            without_events: HashSet::new(),
            schedule: Schedule::every(REVIEW_PERIOD),
            interrupted: 0,
        })
    }

    /// Compares the kernel's table with ours and reports the difference: a connection that is new to
    /// us as `DUMP`, one that is gone as `DESTROY`.
    fn compare(&mut self, sink: Sink<'_>) -> anyhow::Result<()> {
        // Whole before anything is reported: a slow reader must not hold the kernel's dump open.
        let mut dumped = Vec::new();
        let end = self.dumper.dump(|record| dumped.push(record))?;
        let mut present = HashSet::new();
        for record in dumped {
            let key = Key::of(&record);
            present.insert((key, record.ct_id));
            if self.flows.begin(&record, sink)? {
                self.without_events.insert(key);
            }
        }
        if end == DumpEnd::Interrupted {
            // An entry that it lacks may still exist.
            self.interrupted += 1;
            return Ok(());
        }
        let is_alive = |key: &Key, id| present.contains(&(*key, id));
        self.flows.retain(is_alive, sink)
    }
}

impl EventSource for NetlinkSource {
    fn kind(&self) -> Source {
        Source::Netlink
    }

    fn table(&mut self) -> Option<&mut FlowTable> {
        self.flows.table.as_mut()
    }

    fn load(&mut self, sink: Sink<'_>) -> anyhow::Result<()> {
        self.compare(sink)
    }

    fn take(&mut self, sink: Sink<'_>) -> anyhow::Result<bool> {
        let now_ns = monotonic_ns().context("read the clock")?;
        let overruns = self.events.overruns;
        let Self { flows, scope, .. } = self;
        let taken = self.events.take(BATCH, |record| {
            let Some(record) = scope.complete(record, now_ns) else {
                return Ok(());
            };
            match record.r#type {
                kind::NEW => {
                    flows.begin(&record, sink)?;
                }
                kind::DESTROY => {
                    flows.end(&record)?;
                    sink(&record);
                }
                _ => {}
            }
            Ok(())
        })?;
        let is_lossy = self.events.overruns > overruns;
        if is_lossy {
            log::info!("conntrack events were lost: comparing with a dump");
            if let Err(error) = self.compare(sink) {
                log::warn!("the dump after lost events failed: {error:#}");
            }
        }
        Ok(taken > 0 || is_lossy)
    }

    fn wait(&mut self, wake: BorrowedFd<'_>, at_most: Duration) -> anyhow::Result<()> {
        let mut fds = [
            PollFd::new(wake, PollFlags::POLLIN),
            PollFd::new(self.events.as_fd(), PollFlags::POLLIN),
        ];
        wait(&mut fds, at_most)
    }

    fn maintain(&mut self, sink: Sink<'_>) -> anyhow::Result<Duration> {
        let Self {
            dumper,
            flows,
            without_events,
            ..
        } = self;
        if without_events.is_empty() {
            return Ok(REVIEW_PERIOD);
        }
        let left = self.schedule.run_if_due(|| {
            if let Some(present) = dumper.present(Key::of)? {
                let is_alive =
                    |key: &Key, _| present.contains(key) || !without_events.contains(key);
                flows.retain(is_alive, sink)?;
                without_events.retain(|key| present.contains(key));
            }
            Ok(None)
        });
        left.or_else(|error| {
            log::warn!("ends of preexisting connections: {error:#}");
            Ok(REVIEW_PERIOD)
        })
    }

    fn lost(&self, place: Loss) -> anyhow::Result<u64> {
        Ok(match place {
            Loss::NetlinkOverrun => self.events.overruns,
            Loss::NetlinkMalformed => self.events.malformed + self.dumper.malformed,
            Loss::DumpInterrupted => self.interrupted,
            _ => 0,
        })
    }

    fn stop(&mut self) -> anyhow::Result<bool> {
        Ok(false)
    }
}

/// Gives a refusal its exit code.
fn refused(error: &netlink::Error) -> Failure {
    match error.errno() {
        Some(Errno::EPERM | Errno::EACCES) => {
            Failure::Privilege(format!("{error} (needs CAP_NET_ADMIN)"))
        }
        _ => Failure::Kernel(error.to_string()),
    }
}
