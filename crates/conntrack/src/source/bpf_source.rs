//! The sources whose events BPF programs report: hooks, the ring buffer behind them, and the ends of
//! connections.

use std::fs::File;
use std::io::Read as _;
use std::mem;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use shared::exit::Failure;
use shared::record::wire::Loss;
use shared::record::wire::Record;
use shared::ring::layout::Source;

use super::end_detection::EndDetection;
use super::event_source::EventSource;
use super::fire::fire_begin;
use super::preexisting::Preexisting;
use crate::bpf::events::Events;
use crate::bpf::hooks;
use crate::bpf::hooks::Role;
use crate::bpf::programs::Programs;
use crate::bpf::programs::Settings;
use crate::bpf::table::FlowTable;
use crate::ctnetlink::modules::may_be_used;
use crate::ctnetlink::scope::Scope;
use crate::plan::Plan;
use crate::sink::Sink;

/// Bytes of the BPF ring buffer: 30,000 records, a tenth of a second at the highest rate.
const RINGBUF_BYTES: u32 = 4 << 20;
/// Exists where CONFIG_KPROBE_EVENTS does, since 4.17.
const KPROBE_PMU: &str = "/sys/bus/event_source/devices/kprobe";
const NO_OFFSETS: &str = "no offsets: pipe guesser's output into conntrack, or use --offsets";

/// Attached programs and what they report.
pub struct BpfSource {
    kind: Source,
    events: Events,
    table: FlowTable,
    ends: EndDetection,
    preexisting: Result<Preexisting, String>,
    /// Reported while we waited for the hook to fire.
    early: Vec<Record>,
    /// The connection that we made ourselves.
    our_id: Option<u64>,
    programs: Programs,
}

impl BpfSource {
    /// Loads and attaches the programs of this mechanism and makes sure that they fire.
    ///
    /// # Errors
    /// If there are no offsets, or the kernel refuses, or the hook does not fire.
    pub fn open(kind: Source, plan: &Plan) -> anyhow::Result<Self> {
        let layout = plan
            .layout
            .ok_or_else(|| Failure::Usage(NO_OFFSETS.into()))?;
        is_possible(kind)?;
        let settings = Settings {
            layout,
            nat_only: plan.cli.nat_only,
            max_entries: plan.cli.max_entries,
            ringbuf_bytes: RINGBUF_BYTES,
            ct_id_secret: secret()?,
        };
        let mut programs = Programs::load(kind, &settings)?;
        let mut events = programs.events()?;
        programs.attach()?;
        let scope = Scope::own(plan.cli.nat_only)?;
        let preexisting = may_be_used(plan.may_change_system())
            .and_then(|()| Preexisting::open(scope, layout.known));
        let ends = if programs.has_sweep {
            EndDetection::by_sweep()
        } else if programs.has(Role::End) {
            EndDetection::Hook
        } else {
            let subscribed = match &preexisting {
                Ok(_) => EndDetection::by_netlink(scope.netns_ino, layout.known),
                Err(why) => Err(why.clone()),
            };
            subscribed.unwrap_or_else(|why| {
                log::warn!("no ends of connections: this kernel cannot sweep, and {why}");
                EndDetection::None
            })
        };
        if let EndDetection::Netlink { .. } = ends {
            log::info!("this kernel cannot sweep: ends come from ctnetlink, own namespace only");
        }
        let mut early = Vec::new();
        let our_id = fire_begin(&mut events, plan.may_change_system(), &mut early)?;
        Ok(Self {
            kind,
            events,
            table: programs.table()?,
            ends,
            preexisting,
            early,
            our_id,
            programs,
        })
    }
}

impl EventSource for BpfSource {
    fn kind(&self) -> Source {
        self.kind
    }

    fn table(&mut self) -> Option<&mut FlowTable> {
        Some(&mut self.table)
    }

    fn load(&mut self, sink: Sink<'_>) -> anyhow::Result<()> {
        match &mut self.preexisting {
            Ok(preexisting) => preexisting.load(&self.table, sink),
            Err(why) => Err(anyhow::anyhow!("{why}")),
        }
    }

    fn take(&mut self, sink: Sink<'_>) -> anyhow::Result<bool> {
        let our_id = self.our_id;
        let mut without_ours = |record: &Record| {
            if Some(record.ct_id) != our_id {
                sink(record);
            }
        };
        mem::take(&mut self.early)
            .iter()
            .for_each(&mut without_ours);
        self.events.take(&mut without_ours)
    }

    fn wait(&mut self, wake: BorrowedFd<'_>, at_most: Duration) -> anyhow::Result<()> {
        self.events.wait(wake, at_most)
    }

    fn maintain(&mut self, sink: Sink<'_>) -> anyhow::Result<Duration> {
        let mut left = self.ends.run(&mut self.programs, &self.table, sink)?;
        if let Ok(preexisting) = &mut self.preexisting {
            match preexisting.review(&self.table, sink) {
                Ok(again) => left = left.min(again),
                Err(error) => log::warn!("ends of preexisting connections: {error:#}"),
            }
        }
        Ok(left)
    }

    fn lost(&self, place: Loss) -> anyhow::Result<u64> {
        let preexisting = match (&self.preexisting, place) {
            (Ok(preexisting), Loss::DumpInterrupted) => preexisting.interrupted,
            (Ok(preexisting), Loss::NetlinkMalformed) => preexisting.malformed(),
            (Ok(preexisting), Loss::TableFull) => preexisting.full,
            _ => 0,
        };
        let ends = match (&self.ends, place) {
            (EndDetection::Netlink { events, .. }, Loss::NetlinkOverrun) => events.overruns,
            (EndDetection::Netlink { events, .. }, Loss::NetlinkMalformed) => events.malformed,
            _ => 0,
        };
        Ok(preexisting + ends + self.programs.lost(place)?)
    }

    fn stop(&mut self) -> anyhow::Result<bool> {
        self.programs.detach();
        // Connections that found the ring buffer full wait in the table for a sweep.
        Ok(self.programs.has_sweep && self.programs.sweep()?)
    }
}

/// Does this version have hooks of this mechanism, and the kernel the mechanism? Spares a kernel
/// without kprobes the loading of programs that cannot be attached.
fn is_possible(mechanism: Source) -> Result<(), Failure> {
    if hooks::of(mechanism).next().is_none() {
        let name = mechanism.name();
        return Err(Failure::Kernel(format!(
            "this version has no source {name}"
        )));
    }
    let knows_pmus = Path::new("/sys/bus/event_source/devices").exists();
    if mechanism == Source::Kprobe && knows_pmus && !Path::new(KPROBE_PMU).exists() {
        let text = format!("this kernel has no kprobes: no {KPROBE_PMU}");
        return Err(Failure::Kernel(text));
    }
    Ok(())
}

fn secret() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("read /dev/urandom")?;
    Ok(u64::from_ne_bytes(bytes))
}
