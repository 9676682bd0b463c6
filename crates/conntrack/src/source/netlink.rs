//! Events from ctnetlink: works wherever conntrack(8) does, for the own namespace only, and costs
//! the packet path some 2 microseconds for each connection. What the kernel drops is found again by
//! a dump.

use std::collections::HashSet;
use std::mem;
use std::os::fd::AsFd as _;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use netlink;
use netlink::DumpEnd;
use netlink::Protocol;
use netlink::Socket;
use netlink::netns::Namespace;
use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use shared::clock::monotonic_ns;
use shared::exit::Failure;
use shared::record::wire::Loss;
use shared::record::wire::Record;
use shared::record::wire::kind;
use shared::record::wire::known;
use shared::ring::layout::Source as Kind;
use shared::stop::Stop;

use super::Source;
use super::known::Begun;
use super::known::Known;
use super::loaded::REVIEW_PERIOD;
use super::pace::Pace;
use super::pace::Stint;
use crate::bpf::FlowTable;
use crate::bpf::Object;
use crate::ctnetlink;
use crate::ctnetlink::Events;
use crate::ctnetlink::listen::GROUP_DESTROY;
use crate::ctnetlink::listen::GROUP_NEW;
use crate::plan::Plan;
use crate::table::Key;

/// Records that one call takes at most.
const BATCH: usize = 4096;

/// A subscription, and what it has told so far.
pub struct Netlink<'obj> {
    events: Events,
    socket: Socket,
    known: Known<'obj>,
    netns_ino: u32,
    nat_only: bool,
    /// Told by the socket, not yet looked at.
    inbox: Vec<Record>,
    /// Connections from before we listened: the kernel keeps events only for those that begin
    /// while somebody does (`nf_conntrack_events` 2, the default since 5.19).
    mute: HashSet<Key>,
    pace: Pace,
    interrupted: u64,
    malformed: u64,
}

impl<'obj> Netlink<'obj> {
    /// Joins the groups in the calling thread's namespace.
    ///
    /// # Errors
    /// If the kernel has no conntrack events, may not load what it needs for them, or a privilege
    /// is missing.
    pub fn open(plan: &Plan, is_pinned: bool, object: &'obj mut Object) -> anyhow::Result<Self> {
        ctnetlink::may_be_used(plan.may_change_system).map_err(Failure::Kernel)?;
        Ok(Self {
            events: Events::join(&[GROUP_NEW, GROUP_DESTROY]).map_err(|error| refused(&error))?,
            socket: Socket::open(Protocol::Netfilter)?,
            known: Known::new(plan.max_entries, is_pinned.then_some(object)),
            netns_ino: Namespace::current()
                .context("own network namespace")?
                .inum(),
            nat_only: plan.nat_only,
            inbox: Vec::with_capacity(BATCH),
            mute: HashSet::new(),
            pace: Pace::every(REVIEW_PERIOD),
            interrupted: 0,
            malformed: 0,
        })
    }

    /// Every connection of the namespace that is of interest, as a record of type `DUMP`.
    fn dump(&mut self) -> anyhow::Result<(Vec<Record>, DumpEnd)> {
        let mut entries = Vec::new();
        let malformed = &mut self.malformed;
        let end = ctnetlink::dump(&mut self.socket, |parsed| match parsed {
            Ok(record) => entries.push(record),
            Err(error) => {
                log::debug!("{error}");
                *malformed += 1;
            }
        })
        .context("dump the kernel's connections")?;
        let now_ns = monotonic_ns().context("read the clock")?;
        entries.retain(|record| !self.nat_only || record.nat != 0);
        for record in &mut entries {
            *record = self.complete(*record, now_ns);
        }
        Ok((entries, end))
    }

    /// Compares the kernel's table with ours and gives the difference to `each`: what is new to
    /// us as `DUMP`, what is gone as `DESTROY`.
    fn compare(&mut self, each: &mut dyn FnMut(Record)) -> anyhow::Result<()> {
        let (entries, end) = self.dump()?;
        let mut present = HashSet::with_capacity(entries.len());
        for record in entries {
            let key = Key::of(&record);
            present.insert((key, record.ct_id));
            if self.begin(record, each)? {
                self.mute.insert(key);
            }
        }
        if end == DumpEnd::Interrupted {
            // What is missing from it may be there all the same.
            self.interrupted += 1;
            return Ok(());
        }
        let is_alive = |key: &Key, id: u64| present.contains(&(*key, id));
        self.known.end_others(is_alive, each)
    }

    /// Tells of the ends of those whose events the kernel does not keep.
    fn review(&mut self, batch: &mut Vec<Record>) -> anyhow::Result<()> {
        let (entries, end) = self.dump()?;
        if end == DumpEnd::Interrupted {
            return Ok(());
        }
        let present: HashSet<Key> = entries.iter().map(Key::of).collect();
        let mute = &mut self.mute;
        let is_alive = |key: &Key, _| present.contains(key) || !mute.contains(key);
        let ended = self
            .known
            .end_others(is_alive, &mut |record| batch.push(record));
        mute.retain(|key| present.contains(key));
        ended
    }

    /// Takes note of a connection and tells of it; `false` if it was known.
    fn begin(&mut self, record: Record, each: &mut dyn FnMut(Record)) -> anyhow::Result<bool> {
        match self.known.begin(&record)? {
            Begun::Known => return Ok(false),
            Begun::Fresh => {}
            Begun::Instead(of) => each(of),
        }
        each(record);
        Ok(true)
    }

    fn apply(&mut self, record: Record, batch: &mut Vec<Record>) -> anyhow::Result<()> {
        match record.r#type {
            kind::NEW => {
                self.begin(record, &mut |record| batch.push(record))?;
            }
            kind::DESTROY => {
                self.known.end(&record)?;
                batch.push(record);
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds what the message does not tell.
    fn complete(&self, record: Record, now_ns: u64) -> Record {
        Record {
            ts_mono_ns: now_ns,
            netns_ino: self.netns_ino,
            known: record.known | known::NETNS,
            ..record
        }
    }
}

impl Source for Netlink<'_> {
    fn kind(&self) -> Kind {
        Kind::Netlink
    }

    fn table(&mut self) -> Option<&mut FlowTable> {
        self.known.table()
    }

    fn load(&mut self, each: &mut dyn FnMut(Record)) -> anyhow::Result<()> {
        self.compare(each)
    }

    fn take(&mut self, batch: &mut Vec<Record>) -> anyhow::Result<()> {
        let mut inbox = mem::take(&mut self.inbox);
        let lost = self
            .events
            .take(&mut inbox, BATCH)
            .context("read conntrack events")?;
        let now_ns = monotonic_ns().context("read the clock")?;
        for record in inbox.drain(..) {
            if !self.nat_only || record.nat != 0 {
                self.apply(self.complete(record, now_ns), batch)?;
            }
        }
        self.inbox = inbox;
        if lost {
            log::info!("conntrack events were lost: comparing with a dump");
            if let Err(error) = self.compare(&mut |record| batch.push(record)) {
                log::warn!("what was lost is not found again: {error:#}");
            }
        }
        Ok(())
    }

    fn wait(&mut self, stop: &Stop, at_most: Duration) -> anyhow::Result<()> {
        let mut fds = [
            PollFd::new(stop.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.events.as_fd(), PollFlags::POLLIN),
        ];
        match poll(
            &mut fds,
            PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX),
        ) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno).context("wait for conntrack events"),
        }
    }

    fn tend(&mut self, batch: &mut Vec<Record>) -> anyhow::Result<Duration> {
        let stint = Stint::begin();
        let begun = stint.begun();
        if self.mute.is_empty() {
            return Ok(REVIEW_PERIOD);
        }
        if self.pace.is_due(begun) {
            if let Err(error) = self.review(batch) {
                log::warn!("ends of connections from before: {error:#}");
            }
            self.pace.done(begun, stint.cost());
        }
        Ok(self.pace.left(Instant::now()))
    }

    fn lost(&self, place: Loss) -> anyhow::Result<u64> {
        Ok(match place {
            Loss::NetlinkOverrun => self.events.overruns,
            Loss::NetlinkMalformed => self.events.malformed + self.malformed,
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
