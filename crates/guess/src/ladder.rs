//! Finds a hook for each kind of event: the first that can be attached **and** shows an event that we
//! cause. A hook that stays silent, because its function was inlined or is never called, is rejected.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use libbpf_rs::ErrorKind;
use shared::exit::Failure;

use crate::bpf::Hooks;
use crate::bpf::hook::Hook;
use crate::bpf::hook::Mechanism;
use crate::bpf::hook::hooks;
use crate::bpf::refused;
use crate::fields::Event;

/// The hooks of all events.
#[derive(Debug)]
pub struct Ladder(BTreeMap<Event, Rungs>);

/// The hooks of one event, best first.
#[derive(Debug, Default)]
struct Rungs {
    attached: Option<&'static Hook>,
    untried: VecDeque<&'static Hook>,
    failures: Vec<String>,
}

impl Rungs {
    fn fail(&mut self, why: String) {
        log::debug!("{why}");
        self.failures.push(why);
    }

    /// Attaches the next hook, if there is one left.
    fn attach_next(&mut self, programs: &mut Hooks<'_>) -> anyhow::Result<()> {
        while let Some(hook) = self.untried.pop_front() {
            match programs.load(hook.mechanism) {
                Err(error) if !programs.is_loaded() => return Err(error),
                Err(error) => {
                    self.fail(format!("{hook}: {error:#}"));
                    continue;
                }
                Ok(()) => {}
            }
            match programs.attach(hook) {
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    return Err(refused(&format!("attach to {hook}"), error));
                }
                Err(error) => self.fail(format!("{hook}: {error}")),
                Ok(()) => {
                    self.attached = Some(hook);
                    break;
                }
            }
        }
        Ok(())
    }
}

impl Ladder {
    /// All hooks of these events, with none of them attached yet.
    pub fn new(mechanisms: &[Mechanism], events: &[Event]) -> Self {
        let rungs = |event| Rungs {
            untried: mechanisms
                .iter()
                .flat_map(|one| hooks(event, *one))
                .collect(),
            ..Rungs::default()
        };
        Self(events.iter().map(|event| (*event, rungs(*event))).collect())
    }

    /// The attached hook of an event.
    pub fn hook(&self, event: Event) -> Option<&'static Hook> {
        self.0.get(&event)?.attached
    }

    /// Why an event has no hook.
    pub fn why_not(&self, event: Event) -> String {
        let rungs = self.0.get(&event);
        rungs.map_or_else(
            || "nothing was tried".into(),
            |rungs| rungs.failures.join("; "),
        )
    }

    /// Attaches the first hook that exists, for each event.
    ///
    /// # Errors
    /// If no program can be loaded.
    pub fn attach(&mut self, programs: &mut Hooks<'_>) -> anyhow::Result<()> {
        let mut rungs = self.0.values_mut();
        rungs.try_for_each(|rungs| rungs.attach_next(programs))
    }

    /// Replaces the hook of an event, which stayed silent, by the next one, if there is one.
    ///
    /// # Errors
    /// If no program can be loaded.
    pub fn reject(&mut self, programs: &mut Hooks<'_>, event: Event) -> anyhow::Result<()> {
        let Some(rungs) = self.0.get_mut(&event) else {
            return Ok(());
        };
        programs.detach(event);
        if let Some(hook) = rungs.attached.take() {
            rungs.fail(format!("{hook}: attached, but silent"));
        }
        rungs.attach_next(programs)
    }

    /// Refuses if an event without which nothing can be measured has no hook.
    ///
    /// # Errors
    /// [`Failure::Kernel`], with everything that was tried.
    pub fn require(&self, event: Event) -> anyhow::Result<()> {
        if self.hook(event).is_some() {
            return Ok(());
        }
        let why = self.why_not(event);
        Err(Failure::Kernel(format!("nothing shows our packets ({why})")).into())
    }
}
