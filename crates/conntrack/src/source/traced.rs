//! Sources whose events BPF programs make: a hook, the ring buffer behind it, and the ends of
//! connections.

use std::fs::File;
use std::io::Read as _;
use std::mem;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use netlink::netns::Namespace;
use shared::exit::Failure;
use shared::record::wire::Loss;
use shared::record::wire::Record;
use shared::ring::layout::Source as Kind;
use shared::stop::Stop;

use super::Source;
use super::ends::Ends;
use super::fire;
use super::loaded::Loaded;
use crate::bpf::Events;
use crate::bpf::FlowTable;
use crate::bpf::Hook;
use crate::bpf::Losses;
use crate::bpf::Object;
use crate::bpf::Programs;
use crate::bpf::Settings;
use crate::ctnetlink;
use crate::plan::Plan;

/// Bytes of the BPF ring buffer: 30,000 records, a tenth of a second at the highest rate.
const RINGBUF_BYTES: u32 = 4 << 20;

/// Attached programs and what they tell.
pub struct Traced<'obj> {
    kind: Kind,
    events: Events,
    table: FlowTable,
    losses: Losses,
    ends: Ends,
    loaded: Result<Loaded, String>,
    /// Told while we waited for the hook to fire.
    early: Vec<Record>,
    /// The connection that we made ourselves.
    our_id: Option<u64>,
    programs: Programs<'obj>,
}

impl<'obj> Traced<'obj> {
    /// Loads and attaches the programs of this hook and makes sure that they fire.
    ///
    /// # Errors
    /// If there are no offsets, or the kernel refuses, or the hook is silent.
    pub fn open(kind: Kind, plan: &Plan, object: &'obj mut Object) -> anyhow::Result<Self> {
        let layout = plan
            .layout
            .ok_or_else(|| Failure::Usage(NO_OFFSETS.into()))?;
        let hook = match kind {
            Kind::Tracepoint => Hook::Tracepoint,
            Kind::Kprobe => {
                kprobes_exist()?;
                Hook::Kprobe
            }
            kind => {
                return Err(
                    Failure::Kernel(format!("this version has no source {}", kind.name())).into(),
                );
            }
        };
        let settings = Settings {
            layout,
            nat_only: plan.nat_only,
            max_entries: plan.max_entries,
            ringbuf_bytes: RINGBUF_BYTES,
            ct_id_secret: secret()?,
        };
        let mut programs = Programs::load(object, hook, &settings)?;
        let events = programs.events()?;
        programs.attach()?;
        let netns_ino = Namespace::current()
            .context("own network namespace")?
            .inum();
        let mut source = Self {
            kind,
            events,
            table: programs.table()?,
            losses: programs.losses()?,
            ends: Ends::by_sweep(),
            loaded: ctnetlink::may_be_used(plan.may_change_system).and_then(|()| {
                Loaded::open(netns_ino, layout.known, plan.nat_only)
                    .map_err(|error| format!("{error:#}"))
            }),
            early: Vec::new(),
            our_id: None,
            programs,
        };
        if !source.programs.has_sweep {
            source.ends = if source.programs.hears_ends {
                Ends::Heard
            } else {
                source.ends_without_sweep(netns_ino, layout.known)
            };
        }
        let fired = fire::fire(
            &mut source.events,
            plan.may_change_system,
            &mut source.early,
        )?;
        source.our_id = fired;
        Ok(source)
    }

    fn ends_without_sweep(&self, netns_ino: u32, known: u32) -> Ends {
        let ends = match &self.loaded {
            Ok(_) => Ends::by_netlink(netns_ino, known).map_err(|error| error.to_string()),
            Err(why) => Err(why.clone()),
        };
        match ends {
            Ok(ends) => {
                log::info!(
                    "this kernel cannot sweep: ends come from ctnetlink, own namespace only"
                );
                ends
            }
            Err(why) => {
                log::warn!("no ends of connections: this kernel cannot sweep, and {why}");
                Ends::Unseen
            }
        }
    }
}

impl Source for Traced<'_> {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn table(&mut self) -> Option<&mut FlowTable> {
        Some(&mut self.table)
    }

    fn load(&mut self, each: &mut dyn FnMut(Record)) -> anyhow::Result<()> {
        match &mut self.loaded {
            Ok(loaded) => loaded.load(&self.table, each),
            Err(why) => Err(anyhow::anyhow!("{why}")),
        }
    }

    fn take(&mut self, batch: &mut Vec<Record>) -> anyhow::Result<()> {
        if !self.early.is_empty() {
            batch.append(&mut mem::take(&mut self.early));
        }
        self.events.take(batch)?;
        if let Some(our_id) = self.our_id {
            batch.retain(|record| record.ct_id != our_id);
        }
        Ok(())
    }

    fn wait(&mut self, stop: &Stop, at_most: Duration) -> anyhow::Result<()> {
        self.events.wait(stop, at_most)
    }

    fn tend(&mut self, batch: &mut Vec<Record>) -> anyhow::Result<Duration> {
        let mut left = self.ends.look(&mut self.programs, &self.table, batch)?;
        if let Ok(loaded) = &mut self.loaded {
            match loaded.review(&self.table, batch) {
                Ok(again) => left = left.min(again),
                Err(error) => log::warn!("ends of connections from before: {error:#}"),
            }
        }
        Ok(left)
    }

    fn lost(&self, place: Loss) -> anyhow::Result<u64> {
        let here = match (&self.loaded, place) {
            (Ok(loaded), Loss::DumpInterrupted) => loaded.interrupted,
            (Ok(loaded), Loss::NetlinkMalformed) => loaded.malformed,
            (Ok(loaded), Loss::TableFull) => loaded.full,
            _ => 0,
        };
        let of_ends = match (&self.ends, place) {
            (Ends::Netlink { events, .. }, Loss::NetlinkOverrun) => events.overruns,
            (Ends::Netlink { events, .. }, Loss::NetlinkMalformed) => events.malformed,
            _ => 0,
        };
        Ok(here + of_ends + self.losses.total(place)?)
    }

    fn stop(&mut self) -> anyhow::Result<bool> {
        self.programs.detach();
        // Connections that found the ring buffer full wait in the table to be told of.
        Ok(self.programs.has_sweep && self.programs.sweep()?.stuck)
    }
}

/// Spares a kernel without kprobes the loading of programs that cannot be attached.
fn kprobes_exist() -> Result<(), Failure> {
    // Registered by CONFIG_KPROBE_EVENTS, since 4.17.
    if Path::new("/sys/bus/event_source/devices").exists() && !Path::new(KPROBE_PMU).exists() {
        return Err(Failure::Kernel(format!(
            "this kernel has no kprobes: no {KPROBE_PMU}"
        )));
    }
    Ok(())
}

const KPROBE_PMU: &str = "/sys/bus/event_source/devices/kprobe";

/// What is said when a BPF source is asked for and nobody tells where things are.
pub const NO_OFFSETS: &str = "no offsets: pipe guesser's output into conntrack, or use --offsets";

fn secret() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("read /dev/urandom")?;
    Ok(u64::from_ne_bytes(bytes))
}
