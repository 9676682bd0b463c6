//! Finds a hook for each kind of event: the first that can be attached to **and** shows an event that
//! we cause. A hook that is silent, because its function was inlined or nobody calls it, is left.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use anyhow::Context as _;
use libbpf_rs::ErrorKind;
use shared::exit::Failure;

use crate::bpf::Hooks;
use crate::bpf::hook::Hook;
use crate::bpf::hook::Mechanism;
use crate::bpf::hook::hooks;
use crate::bpf::refused;
use crate::fields::Event;

/// The hook that was found for each kind of event, and why others were not taken.
#[derive(Debug)]
pub struct Ladder {
    events: Vec<Event>,
    serving: BTreeMap<Event, &'static Hook>,
    untried: BTreeMap<Event, VecDeque<&'static Hook>>,
    failures: BTreeMap<Event, Vec<String>>,
}

impl Ladder {
    /// Nothing was tried yet.
    #[must_use]
    pub fn new(mechanisms: &[Mechanism], events: &[Event]) -> Self {
        let all = |event| mechanisms.iter().flat_map(move |one| hooks(event, *one));
        Self {
            events: events.to_vec(),
            serving: BTreeMap::new(),
            untried: events
                .iter()
                .map(|one| (*one, all(*one).collect()))
                .collect(),
            failures: BTreeMap::new(),
        }
    }

    /// The hook of an event.
    #[must_use]
    pub fn hook(&self, event: Event) -> Option<&'static Hook> {
        self.serving.get(&event).copied()
    }

    /// What did not work for an event.
    #[must_use]
    pub fn why_not(&self, event: Event) -> String {
        let failures = self.failures.get(&event);
        failures.map_or_else(|| "nothing was tried".into(), |all| all.join("; "))
    }

    /// Attaches the first hook that is there, for each event.
    ///
    /// # Errors
    /// Exit 4 or 5 if nothing can be loaded.
    pub fn attach(&mut self, hooks_of: &mut Hooks<'_>) -> anyhow::Result<()> {
        for event in self.events.clone() {
            self.attach_next(hooks_of, event)?;
        }
        Ok(())
    }

    /// Makes each event happen and goes on to the next hook where it was not seen. `fire` causes an
    /// event of a kind and says whether it was seen.
    ///
    /// # Errors
    /// Exit 4 or 5 if nothing can be loaded, or `fire`'s.
    pub fn test(
        &mut self,
        hooks_of: &mut Hooks<'_>,
        mut fire: impl FnMut(&mut Hooks<'_>, Event) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        for event in self.events.clone() {
            while let Some(hook) = self.hook(event) {
                if fire(hooks_of, event).with_context(|| format!("try {hook}"))? {
                    log::info!("{event:?}: {hook}");
                    break;
                }
                hooks_of.detach(event);
                self.failed(event, format!("{hook}: attached, but silent"));
                self.attach_next(hooks_of, event)?;
            }
        }
        Ok(())
    }

    /// Attaches the next hook of an event, if there is one left.
    fn attach_next(&mut self, hooks_of: &mut Hooks<'_>, event: Event) -> anyhow::Result<()> {
        self.serving.remove(&event);
        let next = |untried: &mut BTreeMap<_, VecDeque<_>>| untried.get_mut(&event)?.pop_front();
        while let Some(hook) = next(&mut self.untried) {
            if let Err(error) = hooks_of.load(hook.mechanism, &self.events) {
                if !hooks_of.is_loaded() {
                    return Err(error);
                }
                self.failed(event, format!("{hook}: {error:#}"));
                continue;
            }
            match hooks_of.attach(hook) {
                Ok(()) => {
                    self.serving.insert(event, hook);
                    break;
                }
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    return Err(refused(&format!("attach to {hook}"), error));
                }
                Err(error) => self.failed(event, format!("{hook}: {error}")),
            }
        }
        Ok(())
    }

    fn failed(&mut self, event: Event, why: String) {
        log::debug!("{event:?}: {why}");
        self.failures.entry(event).or_default().push(why);
    }

    /// Refuses if an event without which nothing can be measured has no hook.
    ///
    /// # Errors
    /// Exit 5, with all that was tried.
    pub fn require(&self, event: Event) -> anyhow::Result<()> {
        if self.hook(event).is_some() {
            return Ok(());
        }
        let why = self.why_not(event);
        Err(Failure::Kernel(format!("nothing shows our packets ({why})")).into())
    }
}
