//! The capture programs: loads and attaches them, follows one thread, and carries requests out.
//! [`exchange`] is the memory shared with them, [`hook`] names what they can be attached to.

pub mod exchange;
pub mod hook;
mod skel;

use std::collections::HashMap;
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
use libbpf_rs::PrintLevel;
use libbpf_rs::ProgramInput;
use libbpf_rs::ProgramMut;
use libbpf_rs::set_print;
use libbpf_rs::skel::OpenSkel as _;
use libbpf_rs::skel::SkelBuilder as _;
use shared::exit::Failure;
use shared::lockdown;

use crate::fields::Event;
use crate::path::ReadPlan;
use exchange::Answers;
use exchange::Exchange;
use hook::Hook;
use hook::Mechanism;
use skel::GuessSkel;
use skel::GuessSkelBuilder;

/// The programs of one mechanism, loaded.
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
        set_print(Some((PrintLevel::Debug, |level, text| {
            let level = match level {
                PrintLevel::Debug => log::Level::Trace,
                PrintLevel::Info | PrintLevel::Warn => log::Level::Debug,
            };
            log::log!(level, "{}", text.trim_end());
        })));
        let what = format!("load the capture programs for {mechanism}s");
        let mut open = GuessSkelBuilder::default()
            .open(object)
            .map_err(|error| refused(&what, error))?;
        let traced = mechanism == Mechanism::Tracepoint;
        let wanted = |event| events.contains(&event);
        let programs = &mut open.progs;
        for (program, wanted) in [
            (&mut programs.capture_traced, true),
            (&mut programs.on_trace_packet, wanted(Event::Packet)),
            (&mut programs.on_trace_sock_state, wanted(Event::SockState)),
            (&mut programs.on_trace_route4, wanted(Event::Route4)),
            (&mut programs.on_trace_route6, wanted(Event::Route6)),
        ] {
            program.set_autoload(traced && wanted);
        }
        for (program, wanted) in [
            (&mut programs.capture_called, true),
            (&mut programs.on_call_packet_first, wanted(Event::Packet)),
            (
                &mut programs.on_call_sock_state_first,
                wanted(Event::SockState),
            ),
            (&mut programs.on_call_route4_second, wanted(Event::Route4)),
            (&mut programs.on_call_route6_second, wanted(Event::Route6)),
            (&mut programs.on_call_route6_third, wanted(Event::Route6)),
        ] {
            program.set_autoload(!traced && wanted);
        }
        let skel = open.load().map_err(|error| refused(&what, error))?;
        let capture = if traced {
            skel.progs.capture_traced.as_fd()
        } else {
            skel.progs.capture_called.as_fd()
        };
        let capture = capture.as_raw_fd().to_ne_bytes();
        skel.maps
            .reader
            .update(&[0; 4], &capture, MapFlags::ANY)
            .map_err(|error| refused(&what, error))?;
        let exchange = Exchange::map(&skel.maps.guess_exchange, span_bytes)?;
        let mut probe = Self {
            mechanism,
            links: Vec::new(),
            skel,
            exchange,
        };
        probe.follow_this_thread()?;
        Ok(probe)
    }

    /// Makes the calling thread the one whose events are read.
    fn follow_this_thread(&mut self) -> anyhow::Result<()> {
        let mut args = [0; 8];
        let input = ProgramInput {
            context_in: Some(&mut args),
            ..ProgramInput::default()
        };
        self.skel
            .progs
            .learn_thread
            .test_run(input)
            .map_err(|error| refused("run a raw tracepoint program", error))?;
        self.exchange.learn_thread();
        Ok(())
    }

    fn program(&mut self, hook: &Hook) -> &mut ProgramMut<'obj> {
        let programs = &mut self.skel.progs;
        match (hook.mechanism, hook.event, hook.argument) {
            (Mechanism::Tracepoint, Event::Packet, _) => &mut programs.on_trace_packet,
            (Mechanism::Tracepoint, Event::SockState, _) => &mut programs.on_trace_sock_state,
            (Mechanism::Tracepoint, Event::Route4, _) => &mut programs.on_trace_route4,
            (Mechanism::Tracepoint, Event::Route6, _) => &mut programs.on_trace_route6,
            (Mechanism::Kprobe, Event::Packet, _) => &mut programs.on_call_packet_first,
            (Mechanism::Kprobe, Event::SockState, _) => &mut programs.on_call_sock_state_first,
            (Mechanism::Kprobe, Event::Route4, _) => &mut programs.on_call_route4_second,
            (Mechanism::Kprobe, Event::Route6, 1) => &mut programs.on_call_route6_second,
            (Mechanism::Kprobe, Event::Route6, _) => &mut programs.on_call_route6_third,
        }
    }
    fn attach(&mut self, hook: &Hook) -> Result<(), Error> {
        let program = self.program(hook);
        let link = match hook.mechanism {
            Mechanism::Tracepoint => program.attach_raw_tracepoint(hook.name),
            Mechanism::Kprobe => program.attach_kprobe(false, hook.name),
        }?;
        self.links.push((hook.event, link));
        Ok(())
    }
}

/// The capture programs, by mechanism.
pub struct Hooks<'obj> {
    slots: slice::IterMut<'obj, MaybeUninit<OpenObject>>,
    span_bytes: u64,
    probes: Vec<Probe<'obj>>,
    /// Which of the probes serves an event.
    serving: HashMap<Event, usize>,
}

/// Objects that can be loaded: one per mechanism.
pub type ObjectSlots = [MaybeUninit<OpenObject>; 2];

impl<'obj> Hooks<'obj> {
    /// Nothing is loaded yet. Two addresses further apart than `span_bytes` are not both in the
    /// linear map.
    #[must_use]
    pub fn new(slots: &'obj mut ObjectSlots, span_bytes: u64) -> Self {
        Self {
            slots: slots.iter_mut(),
            span_bytes,
            probes: Vec::new(),
            serving: HashMap::new(),
        }
    }

    /// Loads the programs of a mechanism for some events.
    ///
    /// # Errors
    /// Exit 4 or 5 if the kernel refuses.
    pub fn load(&mut self, mechanism: Mechanism, events: &[Event]) -> anyhow::Result<()> {
        if self.probes.iter().any(|probe| probe.mechanism == mechanism) {
            return Ok(());
        }
        let slot = self.slots.next().context("both mechanism are loaded")?;
        let probe = Probe::load(slot, mechanism, events, self.span_bytes)?;
        self.probes.push(probe);
        Ok(())
    }

    /// Attaches a program, whose mechanism is loaded, and has it serve the hook's event from now on.
    ///
    /// # Errors
    /// If the kernel has no such hook, or does not let us.
    pub fn attach(&mut self, hook: &Hook) -> Result<(), Error> {
        let mut probes = self.probes.iter_mut().enumerate();
        let (index, probe) = probes
            .find(|(_, probe)| probe.mechanism == hook.mechanism)
            .ok_or_else(|| Error::from(io::Error::from(io::ErrorKind::NotFound)))?;
        probe.attach(hook)?;
        self.serving.insert(hook.event, index);
        Ok(())
    }

    /// Takes the program away again that serves an event.
    pub fn detach(&mut self, event: Event) {
        if let Some(index) = self.serving.remove(&event) {
            self.probes[index].links.retain(|(of, _)| *of != event);
        }
    }

    /// Whether any program is loaded.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        !self.probes.is_empty()
    }

    /// Lets the program read what the order says until [`disarm`](Self::disarm).
    pub fn arm(&mut self, plan: &ReadPlan, token: u64) {
        if let Some(index) = self.serving.get(&plan.event()) {
            self.probes[*index].exchange.arm(plan, token);
        }
    }

    /// Stops the program and returns what it read of the order.
    pub fn disarm(&mut self, plan: &ReadPlan) -> Answers {
        match self.serving.get(&plan.event()) {
            Some(index) => self.probes[*index].exchange.disarm(plan),
            None => Answers::default(),
        }
    }
}

/// Tells missing privilege from what the kernel cannot do.
pub fn refused(what: &str, error: Error) -> anyhow::Error {
    let failure = match error.kind() {
        ErrorKind::PermissionDenied => Failure::Privilege(format!(
            "{what}: the kernel refuses bpf() although the capabilities are there \
             (a user namespace, a security module or lockdown)"
        )),
        ErrorKind::OutOfMemory | ErrorKind::Interrupted => Failure::Failed(what.to_owned()),
        // The kernel says that there is no such helper.
        ErrorKind::InvalidInput if may_be_locked_down() => Failure::Kernel(format!(
            "{what}: BPF may not read the kernel's memory, as under lockdown=confidentiality; \
             --method btf needs no program"
        )),
        _ => Failure::Kernel(what.to_owned()),
    };
    anyhow::Error::new(error).context(failure)
}

/// What is not shown may well be so.
fn may_be_locked_down() -> bool {
    lockdown::mode().is_none_or(|mode| mode == lockdown::CONFIDENTIALITY)
}
