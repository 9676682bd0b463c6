//! The sources whose events BPF programs report: hooks, the ring buffer behind them, and the ends of
//! connections.

use std::mem;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use libbpf_rs::ProgramType;
use shared::exit::Failure;
use shared::record::wire::Loss;
use shared::record::wire::Record;
use shared::ring::layout::Source;

use super::event_source::EventSource;
use super::fire;
use super::fire::Proof;
use super::preexisting::Preexisting;
use super::sweeps::Sweeps;
use crate::bpf::events::Events;
use crate::bpf::hiding::Hiding;
use crate::bpf::hooks;
use crate::bpf::hooks::Role;
use crate::bpf::programs::Programs;
use crate::bpf::programs::Settings;
use crate::bpf::table::FlowTable;
use crate::ctnetlink::modules::may_be_used;
use crate::ctnetlink::scope::Scope;
use crate::flow_id::FlowIds;
use crate::plan::Plan;
use crate::sink::Sink;
use crate::unseen::Unseen;

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
    sweeps: Sweeps,
    preexisting: Result<Preexisting, String>,
    /// Reported while we waited for the hook to fire.
    early: Vec<Record>,
    /// The connections that we made ourselves.
    our_ids: Vec<u64>,
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
        let ids = FlowIds::of_user_space()?;
        let settings = Settings {
            layout,
            nat_only: plan.cli.nat_only,
            max_entries: plan.cli.max_entries,
            ringbuf_bytes: RINGBUF_BYTES,
            id_factor: ids.odd(),
            possible_cpus: ids.possible_cpus(),
            hiding: Hiding::new()?,
        };
        let mut programs = Programs::load(kind, &settings)?;
        let mut events = programs.events()?;
        programs.attach()?;
        let Proof {
            our_ids,
            early,
            proven,
        } = fire::prove(&mut programs, &mut events, plan.may_change_system())?;
        programs.start_counting_missed()?;
        announce(&programs, &proven);
        let scope = Scope::own(plan.cli.nat_only)?;
        let preexisting = may_be_used(plan.may_change_system())
            .and_then(|()| Preexisting::open(scope, layout.known, ids));
        Ok(Self {
            kind,
            events,
            table: programs.table()?,
            sweeps: Sweeps::new(),
            preexisting,
            early,
            our_ids,
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
            Ok(preexisting) => {
                self.programs.set_load_overflowed(true)?;
                let loaded = preexisting.load(&self.table, sink);
                self.programs
                    .set_load_overflowed(preexisting.has_counted())?;
                let unentered = loaded?;
                if !unentered.is_none() {
                    log::info!("connections from before the start: {unentered}");
                }
                Ok(())
            }
            Err(why) => Err(anyhow::anyhow!("{why}")),
        }
    }

    fn unseen(&mut self, _: Sink<'_>) -> anyhow::Result<Unseen> {
        match &mut self.preexisting {
            Ok(preexisting) => preexisting.unseen(&self.table),
            Err(why) => Err(anyhow::anyhow!("{why}")),
        }
    }

    fn take(&mut self, sink: Sink<'_>) -> anyhow::Result<bool> {
        let Self {
            our_ids,
            events,
            early,
            ..
        } = self;
        let mut without_ours = |record: &Record| {
            if !our_ids.contains(&record.ct_id) {
                sink(record);
            }
        };
        mem::take(early).iter().for_each(&mut without_ours);
        events.take(&mut without_ours)
    }

    fn wait(&mut self, wake: BorrowedFd<'_>, at_most: Duration) -> anyhow::Result<()> {
        self.events.wait(wake, at_most)
    }

    fn maintain(&mut self, sink: Sink<'_>) -> anyhow::Result<Duration> {
        let mut left = self.sweeps.run(&mut self.programs)?;
        if let Ok(preexisting) = &mut self.preexisting {
            // A review may add the successor of one that ended.
            self.programs.set_load_overflowed(true)?;
            let reviewed = preexisting.review(&self.table, sink);
            self.programs
                .set_load_overflowed(preexisting.has_counted())?;
            match reviewed {
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
            (Ok(preexisting), Loss::TableFull) => preexisting.full(),
            (Ok(preexisting), Loss::TableRefused) => preexisting.refused(),
            _ => 0,
        };
        Ok(preexisting + self.programs.lost(place)?)
    }

    fn stop(&mut self) -> anyhow::Result<bool> {
        self.programs.detach()?;
        // Connections that found the ring buffer full wait in the table for a sweep.
        self.programs.sweep()
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
    // Else maps and BTF would be made and read in vain. What cannot be told is tried.
    if mechanism == Source::Fentry && !ProgramType::Tracing.is_supported().unwrap_or(true) {
        let text = "this kernel loads no program of the type that fentry needs";
        return Err(Failure::Kernel(text.into()));
    }
    Ok(())
}

/// Which hooks were chosen, and whether each has shown that it fires.
fn announce(programs: &Programs, proven: &[Role]) {
    for role in Role::ALL {
        let Some(symbol) = programs.symbol(role) else {
            continue;
        };
        let verdict = if proven.contains(&role) {
            "fires"
        } else {
            "not proven to fire"
        };
        log::info!("{}: {symbol}, {verdict}", role.name());
    }
}
