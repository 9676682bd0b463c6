//! The capture programs: loads and attaches them, restricts them to one thread, and sends them requests.
//! [`exchange`] is the memory shared with them, [`hook`] lists what they can be attached to.

pub mod exchange;
pub mod hook;
pub mod messages;
mod skel;

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::slice;

use anyhow::Context as _;
use libbpf_rs::Error;
use libbpf_rs::ErrorKind;
use libbpf_rs::Link;
use libbpf_rs::MapCore as _;
use libbpf_rs::MapFlags;
use libbpf_rs::OpenObject;
use libbpf_rs::ProgramInput;
use libbpf_rs::ProgramMut;
use libbpf_rs::skel::OpenSkel as _;
use libbpf_rs::skel::Skel as _;
use libbpf_rs::skel::SkelBuilder as _;
use shared::exit::Failure;
use shared::lockdown;

use crate::fields::Event;
use crate::path::ReadPlan;
use exchange::Answers;
use exchange::Exchange;
use hook::Hook;
use hook::Mechanism;
use hook::hooks;
use skel::GuessSkel;
use skel::GuessSkelBuilder;

/// The loaded programs of one mechanism.
struct Probe<'obj> {
    mechanism: Mechanism,
    // Dropped before the programs that they keep attached.
    links: Vec<(Event, Link)>,
    skel: GuessSkel<'obj>,
    exchange: Exchange,
}

impl<'obj> Probe<'obj> {
    fn load(
        object: &'obj mut MaybeUninit<OpenObject>,
        mechanism: Mechanism,
        events: &[Event],
        span_bytes: u64,
    ) -> anyhow::Result<Self> {
        let what = format!("load the capture programs for {mechanism}s");
        let failed = |error| refused(&what, error);
        let mut open = GuessSkelBuilder::default().open(object).map_err(failed)?;
        // Hooks of one mechanism can only tail-call a program of the same type.
        let reader = match mechanism {
            Mechanism::Tracepoint => "capture_traced",
            Mechanism::Kprobe => "capture_called",
        };
        for mut program in open.open_object_mut().progs_mut() {
            let name = program.name().to_owned();
            let mut hooks = events.iter().flat_map(|event| hooks(*event, mechanism));
            let is_hook = hooks.any(|hook| name == hook.program);
            program.set_autoload(is_hook || name == reader || name == "learn_thread");
        }
        let skel = open.load().map_err(failed)?;
        let reader = program(&skel, reader).map_err(failed)?.as_fd().as_raw_fd();
        let entry = skel
            .maps
            .reader
            .update(&[0; 4], &reader.to_ne_bytes(), MapFlags::ANY);
        entry.map_err(failed)?;
        // A test run of this program notes the thread whose events are read: the calling one.
        let mut arguments = [0; 8];
        let input = ProgramInput {
            context_in: Some(&mut arguments),
            ..ProgramInput::default()
        };
        let run = skel.progs.learn_thread.test_run(input);
        run.map_err(|error| refused("run a raw tracepoint program", error))?;
        let exchange = Exchange::map(&skel.maps.guess_exchange, span_bytes)?;
        Ok(Self {
            mechanism,
            links: Vec::new(),
            skel,
            exchange,
        })
    }
}

fn program<'a>(skel: &'a GuessSkel<'_>, name: &str) -> Result<ProgramMut<'a>, Error> {
    let mut programs = skel.object().progs_mut();
    let program = programs.find(|program| program.name() == name);
    program.ok_or_else(not_found)
}

fn not_found() -> Error {
    io::Error::from(io::ErrorKind::NotFound).into()
}

/// The capture programs, by mechanism.
pub struct Hooks<'obj> {
    events: &'obj [Event],
    slots: slice::IterMut<'obj, MaybeUninit<OpenObject>>,
    span_bytes: u64,
    probes: Vec<Probe<'obj>>,
}

/// Memory for the loaded objects, one per mechanism.
pub type ObjectSlots = [MaybeUninit<OpenObject>; 2];

impl<'obj> Hooks<'obj> {
    /// The programs for some events, none of them loaded yet. Two addresses further apart than `span_bytes`
    /// are not both in the linear map.
    pub fn new(events: &'obj [Event], slots: &'obj mut ObjectSlots, span_bytes: u64) -> Self {
        Self {
            events,
            slots: slots.iter_mut(),
            span_bytes,
            probes: Vec::new(),
        }
    }

    /// Loads the programs of a mechanism.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn load(&mut self, mechanism: Mechanism) -> anyhow::Result<()> {
        if self.probes.iter().any(|probe| probe.mechanism == mechanism) {
            return Ok(());
        }
        let slot = self.slots.next().context("both mechanisms are loaded")?;
        let probe = Probe::load(slot, mechanism, self.events, self.span_bytes)?;
        self.probes.push(probe);
        Ok(())
    }

    /// Attaches a program, whose mechanism must be loaded, to a hook that now serves its event.
    ///
    /// # Errors
    /// If the kernel has no such hook, or refuses.
    pub fn attach(&mut self, hook: &Hook) -> Result<(), Error> {
        let mut probes = self.probes.iter_mut();
        let probe = probes.find(|probe| probe.mechanism == hook.mechanism);
        let probe = probe.ok_or_else(not_found)?;
        let program = program(&probe.skel, hook.program)?;
        let link = match hook.mechanism {
            Mechanism::Tracepoint => program.attach_raw_tracepoint(hook.name),
            Mechanism::Kprobe => program.attach_kprobe(false, hook.name),
        }?;
        probe.links.push((hook.event, link));
        Ok(())
    }

    /// Detaches the program that serves an event.
    pub fn detach(&mut self, event: Event) {
        for probe in &mut self.probes {
            probe.links.retain(|(served, _)| *served != event);
        }
    }

    /// Whether any program is loaded.
    pub fn is_loaded(&self) -> bool {
        !self.probes.is_empty()
    }

    /// Lets the program read what the plan says until [`disarm`](Self::disarm).
    pub fn arm(&mut self, plan: &ReadPlan, token: u64) {
        if let Some(exchange) = self.serving(plan.event()) {
            exchange.arm(plan, token);
        }
    }

    /// Stops the program and returns what it read.
    pub fn disarm(&mut self, plan: &ReadPlan) -> Answers {
        let exchange = self.serving(plan.event());
        exchange.map_or_else(Answers::default, |exchange| exchange.disarm(plan))
    }

    fn serving(&mut self, event: Event) -> Option<&mut Exchange> {
        let serves = |probe: &&mut Probe<'_>| probe.links.iter().any(|(of, _)| *of == event);
        let probe = self.probes.iter_mut().find(serves)?;
        Some(&mut probe.exchange)
    }
}

/// Classifies an error of libbpf: a missing privilege, or something that this kernel cannot do.
pub fn refused(what: &str, error: Error) -> anyhow::Error {
    let failure = match error.kind() {
        ErrorKind::PermissionDenied => Failure::Privilege(format!(
            "{what}: the kernel refuses bpf() despite the capabilities \
             (a user namespace, a security module or lockdown)"
        )),
        ErrorKind::OutOfMemory | ErrorKind::Interrupted => Failure::Failed(what.to_owned()),
        // Under lockdown the kernel claims that there is no such helper.
        ErrorKind::InvalidInput if may_be_locked_down() => Failure::Kernel(format!(
            "{what}: BPF may not read the kernel's memory, as under lockdown=confidentiality; \
             --method btf needs no program"
        )),
        _ => Failure::Kernel(what.to_owned()),
    };
    anyhow::Error::new(error).context(failure)
}

/// An unknown mode may be this one.
fn may_be_locked_down() -> bool {
    lockdown::mode().is_none_or(|mode| mode == lockdown::CONFIDENTIALITY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hook::HOOKS;

    #[test]
    fn every_hook_names_a_program() {
        let mut object = MaybeUninit::uninit();
        let mut open = GuessSkelBuilder::default().open(&mut object).unwrap();
        let programs = open.open_object_mut().progs_mut();
        let names: Vec<_> = programs.map(|program| program.name().to_owned()).collect();
        for hook in HOOKS {
            assert!(names.iter().any(|name| name == hook.program), "{hook}");
        }
    }
}
