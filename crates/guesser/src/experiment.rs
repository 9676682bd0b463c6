//! The whole experiment: makes the ground while the capture programs load, finds hooks, guesses,
//! verifies on fresh connections, and starts over once if they contradict.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use caps::Capability;
use shared::offsets::Field;

use crate::absence;
use crate::bpf::Hooks;
use crate::bpf::Rooms;
use crate::bpf::hook::Means;
use crate::cache::Known;
use crate::fields::Event;
use crate::fields::Place;
use crate::fields::Struct;
use crate::guess::Marks;
use crate::guess::Search;
use crate::guess::guess;
use crate::ladder::Ladder;
use crate::linear_map;
use crate::privilege;
use crate::proven::Proven;
use crate::random::Random;
use crate::sample::camera::Camera;
use crate::sample::camera::Tally;
use crate::sample::camera::Witness;
use crate::sample::fire;
use crate::sample::grounds::Beginning;
use crate::sample::grounds::Grounds;
use crate::sample::plan;
use crate::sample::tracking::Access;
use crate::solve::Solver;
use crate::solve::verdict::Finding;
use crate::timing::Timing;
use crate::verify::CONFIRMATIONS;
use crate::verify::Verification;
use crate::verify::consequences;
use crate::watch::Watch;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// The fields.
    pub fields: &'static [Field],
    /// What may be hooked.
    pub means: &'static [Means],
    /// Whether to keep all that was read.
    pub keeps_samples: bool,
    /// Whether the kernel may be made to load modules.
    pub allow_system_changes: bool,
    /// What the calling thread will need when the experiment is over.
    pub later: &'static [Capability],
}

/// What came out.
#[derive(Debug)]
pub struct Outcome {
    /// The verdict on each field.
    pub findings: Vec<Finding>,
    /// The searches; none if what was known already was confirmed.
    pub search: Option<Search>,
}

/// What every experiment is made with.
struct Laboratory<'obj, 'run> {
    marks: Marks,
    hooks: Hooks<'obj>,
    grounds: Grounds,
    random: Random,
    tally: Tally,
    started: Instant,
    watch: &'run mut Watch,
}

impl Laboratory<'_, '_> {
    /// Runs a round of experiments that a witness looks at.
    fn round(&mut self, witness: &mut dyn Witness, number: u32) -> anyhow::Result<()> {
        let mut watched = self.watch.over(witness);
        let mut camera = Camera {
            hooks: &mut self.hooks,
            random: &mut self.random,
            started: self.started,
            tally: &mut self.tally,
            witness: &mut watched,
        };
        let round = plan::round(&mut camera, &mut self.grounds, number);
        self.watch.outcome(round)
    }
}

/// Measures the fields, or confirms what is known of them.
///
/// # Errors
/// Exit 4 or 5 if the kernel refuses, 3 if something fails.
pub fn run(
    question: Question,
    known: Option<Known>,
    watch: &mut Watch,
    timing: &mut Timing,
) -> anyhow::Result<Outcome> {
    let solver = Solver::new(question.fields);
    let events: Vec<Event> = Event::ALL
        .into_iter()
        .filter(|event| solver.order(*event, &[]).is_some())
        .collect();
    let tracks = solver.needs(Struct::NfConn);
    let stock = plan::stock(&solver);
    let access = Access::to_running(question.allow_system_changes);
    thread::scope(|scope| {
        let beginning = Beginning::prepare(scope, &access, tracks, stock);
        let mut rooms: Rooms = [MaybeUninit::uninit(), MaybeUninit::uninit()];
        let mut hooks = Hooks::new(&mut rooms, linear_map::span_bytes()?);
        let mut ladder = Ladder::new(question.means, &events);
        watch.progress.phase(|| "loading");
        ladder.attach(&mut hooks)?;
        timing.lap("load and attach");
        watch.progress.phase(|| "making namespaces");
        let mut grounds = beginning.ready(scope, &access, stock)?;
        let only_connections = question.fields.iter().all(|f| Field::CONNTRACK.contains(f));
        if let Some(error) = grounds.untracked_because.take_if(|_| only_connections) {
            return Err(error);
        }
        timing.lap("namespaces");
        let mut laboratory = Laboratory {
            hooks,
            grounds,
            random: Random::from_kernel().context("read /dev/urandom")?,
            tally: Tally::default(),
            started: Instant::now(),
            watch,
            marks: Marks::default(),
        };
        laboratory.watch.progress.phase(|| "trying hooks");
        try_hooks(&mut laboratory, &mut ladder)?;
        privilege::keep_only(privilege::SAMPLING, question.later)?;
        timing.lap("hooks");
        if let Some(known) = known {
            if let Some(outcome) = confirm(known, &mut laboratory, timing)? {
                return Ok(outcome);
            }
        }
        let hopeless = absence::hopeless(question.fields, &laboratory.grounds, &ladder);
        let given_up: Vec<Field> = hopeless.keys().copied().collect();
        let mut outcome = attempt(question, &given_up, &mut laboratory, timing)?;
        for finding in &mut outcome.findings {
            if finding.offset().is_none() {
                let why = hopeless.get(&finding.field).cloned();
                let why = why.or_else(|| absence::limits(finding.field, &laboratory.grounds));
                finding.reason = why.or(finding.reason.take());
            }
        }
        log::info!("{}", laboratory.tally);
        Ok(outcome)
    })
}

fn try_hooks(laboratory: &mut Laboratory<'_, '_>, ladder: &mut Ladder) -> anyhow::Result<()> {
    let Laboratory {
        hooks,
        grounds,
        random,
        tally,
        started,
        marks,
        ..
    } = laboratory;
    ladder.test(hooks, |hooks, event| {
        let mut witness = fire::Anything::of(event);
        let mut camera = Camera {
            hooks,
            random,
            started: *started,
            tally,
            witness: &mut witness,
        };
        let shown = fire::cause(&mut camera, grounds, event)?;
        marks.extend(witness.mark_at().map(|at| (event, at)));
        Ok(shown)
    })?;
    ladder.require(Event::Packet)
}

/// What was known, if fresh connections confirm all of it.
fn confirm(
    known: Known,
    laboratory: &mut Laboratory<'_, '_>,
    timing: &mut Timing,
) -> anyhow::Result<Option<Outcome>> {
    laboratory.watch.progress.phase(|| "verifying the cache");
    let findings = known.findings;
    let mut verification = Verification::new(&known.proven, &laboratory.marks)?;
    laboratory.round(&mut verification, 0)?;
    timing.lap("verify");
    let doubtful: Vec<&str> = doubtful(&known.proven, &verification)
        .map(Place::path)
        .collect();
    if doubtful.is_empty() {
        log::info!("served from the cache, confirmed on fresh connections");
        return Ok(Some(Outcome {
            findings,
            search: None,
        }));
    }
    let doubtful = doubtful.join(", ");
    laboratory.watch.progress.clear();
    log::warn!("fresh connections do not confirm the cached {doubtful}; measuring anew");
    laboratory.grounds.release();
    Ok(None)
}

fn attempt(
    question: Question,
    given_up: &[Field],
    laboratory: &mut Laboratory<'_, '_>,
    timing: &mut Timing,
) -> anyhow::Result<Outcome> {
    let mut again = true;
    loop {
        let mut search = Search::new(
            question.fields,
            question.keeps_samples,
            laboratory.marks.clone(),
        );
        search.solver.give_up(given_up);
        let mut rounds = 0..;
        guess(&mut search, |search| {
            let number = rounds.next().unwrap_or(u32::MAX);
            let so_far = || format!("round {}: {search}", number.saturating_add(1));
            laboratory.watch.progress.phase(so_far);
            laboratory.round(search, number)
        })?;
        let mut findings = search.solver.findings();
        timing.lap("sample and solve");
        let proven = search.solver.all_proven();
        laboratory.watch.progress.phase(|| "verifying");
        let mut verification = Verification::new(&proven, &laboratory.marks)?;
        laboratory.round(&mut verification, 0)?;
        timing.lap("verify");
        let contradicted = verification.contradicted();
        if !contradicted.is_empty() && again {
            laboratory.watch.progress.clear();
            log::warn!("fresh connections contradict {contradicted:?}; starting over");
            again = false;
            laboratory.grounds.release();
            continue;
        }
        withdraw(&mut findings, &proven, &verification);
        return Ok(Outcome {
            findings,
            search: Some(search),
        });
    }
}

/// What is not confirmed.
fn doubtful(proven: &Proven, verification: &Verification) -> impl Iterator<Item = Place> {
    let places = proven.iter().map(|(place, _)| place);
    places.filter(|place| {
        verification.contradicted().contains(place) || !verification.has_seen(*place)
    })
}

/// Takes back what is not confirmed, and what stands on it.
fn withdraw(findings: &mut [Finding], proven: &Proven, verification: &Verification) {
    let is_lost = |finding: &&Finding| finding.offset().is_none();
    let lost = findings.iter().filter(is_lost);
    let mut refused: BTreeSet<Place> = lost.map(|finding| finding.field.into()).collect();
    refused.extend(doubtful(proven, verification));
    let refused = consequences(proven, refused);
    for finding in findings
        .iter_mut()
        .filter(|finding| finding.offset().is_some())
    {
        let place = finding.field.into();
        if !refused.contains(&place) {
            continue;
        }
        let times = verification.confirmations(place);
        finding.withdraw(if verification.contradicted().contains(&place) {
            "fresh connections contradict it".into()
        } else if times < CONFIRMATIONS {
            format!("fresh connections confirmed it {times} times, {CONFIRMATIONS} are needed")
        } else {
            "what proves it, or leads to it, is not confirmed".into()
        });
    }
}
