//! Events from ctnetlink: works wherever conntrack(8) does, for the own namespace only, and costs
//! the packet path about 2 microseconds for each connection. A dump finds what the kernel dropped.

use std::collections::HashSet;
use std::fs;
use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
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

use super::census::Census;
use super::event_source::EventSource;
use super::flow_cache::FlowCache;
use super::flow_cache::Teller;
use super::preexisting::REVIEW_PERIOD;
use super::present::Present;
use super::schedule::Schedule;
use crate::bpf::programs::Programs;
use crate::bpf::programs::Settings;
use crate::bpf::table::FlowTable;
use crate::ctnetlink::deadline::Deadline;
use crate::ctnetlink::listen::Subscription;
use crate::ctnetlink::modules::may_be_used;
use crate::ctnetlink::namespaces::Dump;
use crate::ctnetlink::namespaces::Namespaces;
use crate::ctnetlink::scope::Scope;
use crate::flow_entry::Key;
use crate::flow_id::FlowIds;
use crate::plan::Plan;
use crate::sink::Sink;
use crate::sink::wait;
use crate::unseen::Unseen;

/// Whether connections of this namespace get events.
const EVENTS: &str = "/proc/sys/net/netfilter/nf_conntrack_events";
/// Records that one call takes at most.
const BATCH: usize = 4096;
/// The kernel inserts a connection into its table before it tells of it, so a dump can be ahead of an
/// event by as long as a processor is interrupted in between.
const EVENT_BEHIND_DUMP: Duration = Duration::from_millis(50);

/// How often connections are compared with a dump while events are lost again and again, at most.
const RECOVERY_PERIOD: Duration = Duration::from_secs(1);

/// More than it takes to read a whole receive buffer.
const CATCH_UP: Duration = Duration::from_secs(2);

/// A subscription, and the connections that it has reported.
pub struct NetlinkSource {
    events: Subscription,
    namespaces: Namespaces,
    flows: FlowCache,
    scope: Scope,
    /// Connections that the kernel reports no end of: it keeps events only for those that begin
    /// while a program listens (`nf_conntrack_events` 2, the default since 5.19).
    without_events: HashSet<Key>,
    /// The last dump, while an event of a connection in it may be on its way.
    dumped: Option<Instant>,
    /// Events were lost, and no whole dump has made up for them.
    is_behind: bool,
    /// Whether the last call read everything that was queued.
    is_drained: bool,
    /// When to compare after a loss, so that losses in a row do not make dumps in a row.
    recovery_due: Option<Instant>,
    /// No earlier than this.
    recovers_from: Instant,
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
        let max_entries = plan.cli.max_entries;
        let table = is_pinned.then(|| table(max_entries)).and_then(|table| {
            table
                .map_err(|error| log::warn!("no table for --get: {error:#}"))
                .ok()
        });
        log::info!("ctnetlink's events are of our own network namespace only");
        if fs::read_to_string(EVENTS).is_ok_and(|value| value.trim() == "0") {
            log::warn!("ctnetlink reports no events here: {EVENTS} is 0");
        }
        Ok(Self {
            events,
            namespaces: Namespaces::open(scope)?,
            flows: FlowCache::new(max_entries, FlowIds::of_user_space()?, table),
            scope,
            without_events: HashSet::new(),
            dumped: None,
            is_behind: false,
            is_drained: false,
            recovery_due: None,
            recovers_from: Instant::now(),
            schedule: Schedule::every(REVIEW_PERIOD),
            interrupted: 0,
        })
    }

    /// Compares the kernel's table with ours and reports the difference: a connection that is new to
    /// us as `DUMP`, one that is gone as `DESTROY`.
    fn compare(&mut self, sink: Sink<'_>) -> anyhow::Result<()> {
        // Whole before anything is reported: a slow reader must not hold the kernel's dump open.
        let mut records = Vec::new();
        let dump = self.namespaces.dump_own(|record| records.push(record))?;
        self.dumped = Some(Instant::now());
        let mut present = Present::default();
        for record in records {
            present.insert(&record);
            if self.flows.begin(&record, Teller::Dump, sink)? {
                self.without_events.insert(Key::of(&record));
            }
        }
        // An entry that an interrupted dump lacks may still exist.
        self.is_behind = dump != Dump::Whole;
        if self.is_behind {
            self.interrupted += 1;
            return Ok(());
        }
        self.flows.retain(&present, |_| true, sink)
    }

    /// Takes what the kernel has told so far.
    fn catch_up(&mut self, sink: Sink<'_>) -> anyhow::Result<()> {
        let deadline = Deadline::within(CATCH_UP);
        self.namespaces.set_deadline(deadline);
        let mut taken = Ok(true);
        while matches!(taken, Ok(true)) && !deadline.is_over() {
            taken = self.take(sink);
        }
        self.namespaces.set_deadline(Deadline::default());
        taken.map(drop)
    }

    /// Compares if events were lost and all that were queued are read; `false` if that is not due.
    ///
    /// The kernel reports a loss before what it had queued earlier, and drops everything until that is read. A
    /// dump made sooner would be older than a drop, and the beginnings still queued would pass for younger
    /// than it, although their ends may be among the dropped.
    fn recover(&mut self, sink: Sink<'_>) -> bool {
        let begun = Instant::now();
        if !self.is_drained || self.recovery_due.is_none_or(|due| begun < due) {
            return false;
        }
        self.recovery_due = None;
        log::info!("conntrack events were lost: comparing with a dump");
        if let Err(error) = self.compare(sink) {
            log::warn!("the dump after lost events failed: {error:#}");
        }
        // At most half of the time goes into dumps.
        self.recovers_from = Instant::now() + begun.elapsed().max(RECOVERY_PERIOD);
        true
    }

    /// Takes the ends of connections that have no events from a dump.
    fn review(&mut self, sink: Sink<'_>) -> anyhow::Result<()> {
        let Self {
            namespaces,
            flows,
            without_events,
            ..
        } = self;
        let mut present = Present::default();
        let dump = namespaces.dump_own(|record| present.insert(&record))?;
        if dump == Dump::Whole {
            flows.retain(&present, |key| without_events.contains(key), sink)?;
            without_events.retain(|key| flows.has_key(key));
        }
        Ok(())
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
                kind::NEW => flows.begin(&record, Teller::Event, sink).map(drop),
                kind::DESTROY => flows.end(&record, sink),
                _ => Ok(()),
            }
        })?;
        if taken == 0
            && self
                .dumped
                .is_some_and(|at| at.elapsed() > EVENT_BEHIND_DUMP)
        {
            self.flows.settle();
            self.dumped = None;
        }
        if self.events.overruns > overruns {
            self.is_behind = true;
            self.recovery_due = Some(self.recovers_from);
        }
        self.is_drained = taken < BATCH;
        let has_recovered = self.recover(sink);
        Ok(taken > 0 || has_recovered)
    }

    fn wait(&mut self, wake: BorrowedFd<'_>, at_most: Duration) -> anyhow::Result<()> {
        let mut fds = [
            PollFd::new(wake, PollFlags::POLLIN),
            PollFd::new(self.events.as_fd(), PollFlags::POLLIN),
        ];
        let at_most = match self.dumped {
            Some(at) => at_most.min(EVENT_BEHIND_DUMP.saturating_sub(at.elapsed())),
            None => at_most,
        };
        let at_most = match self.recovery_due {
            Some(due) => at_most.min(due.saturating_duration_since(Instant::now())),
            None => at_most,
        };
        wait(&mut fds, at_most + Duration::from_millis(1))
    }

    fn maintain(&mut self, sink: Sink<'_>) -> anyhow::Result<Duration> {
        let has_refused = self.flows.has_refused();
        if self.without_events.is_empty() && !has_refused && !self.is_behind {
            return Ok(REVIEW_PERIOD);
        }
        let mut schedule = self.schedule;
        let left = schedule.run_if_due(|| {
            if self.is_behind {
                // What `recover` will do, or could not do, since the dump failed or was interrupted.
                if !self.is_drained || self.recovery_due.is_some() {
                    return Ok(Some(RECOVERY_PERIOD));
                }
                self.compare(sink)?;
            } else {
                self.review(sink)?;
            }
            Ok(None)
        });
        self.schedule = schedule;
        left.or_else(|error| {
            log::warn!("comparing with a dump: {error:#}");
            Ok(REVIEW_PERIOD)
        })
    }

    fn unseen(&mut self, sink: Sink<'_>) -> anyhow::Result<Unseen> {
        self.catch_up(sink)?;
        let flows = &self.flows;
        let census = Census::take(&mut self.namespaces, true, |it| Ok(flows.has(it)))?;
        census.wait();
        self.catch_up(sink)?;
        let flows = &self.flows;
        census.repeat(&mut self.namespaces, |it| Ok(flows.has(it)))
    }

    fn lost(&self, place: Loss) -> anyhow::Result<u64> {
        Ok(match place {
            Loss::NetlinkOverrun => self.events.overruns,
            Loss::NetlinkMalformed => self.events.malformed + self.namespaces.malformed(),
            Loss::DumpInterrupted => self.interrupted,
            place => self.flows.lost(place),
        })
    }

    fn stop(&mut self) -> anyhow::Result<bool> {
        self.namespaces.set_deadline(Deadline::within(CATCH_UP));
        Ok(false)
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

/// Gives a refusal its exit code.
fn refused(error: &netlink::Error) -> Failure {
    match error.errno() {
        Some(Errno::EPERM | Errno::EACCES) => {
            Failure::Privilege(format!("{error} (needs CAP_NET_ADMIN)"))
        }
        _ => Failure::Kernel(error.to_string()),
    }
}
