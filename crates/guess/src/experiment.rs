//! The whole experiment: makes the sites while the capture programs load, finds hooks, runs rounds until
//! the fields are settled, and verifies on fresh connections. If these contradict, it starts over once.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use shared::capability::keep_only;
use shared::offsets::Field;

use crate::absence;
use crate::attempt::Attempt;
use crate::attempt::run_rounds;
use crate::bpf::Hooks;
use crate::bpf::ObjectSlots;
use crate::bpf::messages::MessagesToLog;
use crate::fields::Event;
use crate::fields::Place;
use crate::fields::Struct;
use crate::ladder::Ladder;
use crate::linear_map;
use crate::measurement::Measurement;
use crate::options::Known;
use crate::options::Options;
use crate::options::Stopped;
use crate::privilege;
use crate::proven::Proven;
use crate::random::seeded;
use crate::sample::fire;
use crate::sample::live::LiveKernel;
use crate::sample::mark::Marks;
use crate::sample::round::round;
use crate::sample::round::socket_kinds;
use crate::sample::sampler::Observer;
use crate::sample::sampler::Sampler;
use crate::sample::sampler::Tally;
use crate::sample::sites::PendingSites;
use crate::sample::sites::Sites;
use crate::sample::tracking::Access;
use crate::solve::Solver;
use crate::solve::verdict::Finding;
use crate::timing::Timing;
use crate::verify::CONFIRMATIONS;
use crate::verify::Verification;
use crate::verify::consequences;

/// What every round needs.
struct Rig<'obj> {
    marks: Marks,
    hooks: Hooks<'obj>,
    sites: Sites,
    random: fastrand::Rng,
    tally: Tally,
    started: Instant,
    stopped: Stopped,
    timing: Timing,
}

impl<'obj> Rig<'obj> {
    /// The running kernel under an observer.
    fn kernel<'a>(&'a mut self, observer: &'a mut dyn Observer) -> LiveKernel<'a, 'obj> {
        LiveKernel {
            sampler: Sampler {
                hooks: &mut self.hooks,
                random: &mut self.random,
                started: self.started,
                stopped: &self.stopped,
                tally: &mut self.tally,
                observer,
            },
            sites: &mut self.sites,
        }
    }

    /// Runs a round of experiments under an observer.
    fn round(&mut self, observer: &mut dyn Observer, number: u32) -> anyhow::Result<()> {
        round(&mut self.kernel(observer), number)?;
        self.go_on()
    }

    /// Fails if a stop is asked for.
    fn go_on(&self) -> anyhow::Result<()> {
        ensure!(!(self.stopped)(), "stopped before the end");
        Ok(())
    }
}

/// Measures the fields, or confirms what is known of them, on the calling thread, which drops its
/// capabilities.
///
/// # Errors
/// If the kernel refuses, or something fails.
pub fn run(fields: &[Field], options: Options, mut timing: Timing) -> anyhow::Result<Measurement> {
    let _messages = MessagesToLog::start();
    let solver = Solver::new(fields);
    let mut events = Event::ALL.to_vec();
    events.retain(|event| solver.plan(*event, &[]).is_some());
    let tracks = solver.needs(Struct::NfConn);
    let kinds = socket_kinds(&solver);
    let access = Access::to_running(options.allow_system_changes);
    if events.is_empty() {
        return Ok(Measurement {
            findings: Vec::new(),
            attempt: None,
            timing,
        });
    }
    ensure!(!(options.stopped)(), "stopped before the start");
    let mut slots: ObjectSlots = [MaybeUninit::uninit(), MaybeUninit::uninit()];
    let measured = thread::scope(|scope| {
        let pending = PendingSites::prepare(scope, &access, tracks, kinds);
        let mut hooks = Hooks::new(&events, &mut slots, linear_map::span_bytes()?);
        let mut ladder = Ladder::new(&options.mechanisms, &events);
        ladder.attach(&mut hooks)?;
        timing.lap("load and attach");
        let mut sites = pending.ready(scope, &access, kinds)?;
        let only_connections = fields.iter().all(|f| Field::CONNTRACK.contains(f));
        if let Some(error) = sites.untracked_because.take_if(|_| only_connections) {
            return Err(error);
        }
        timing.lap("namespaces");
        let mut rig = Rig {
            marks: Marks::default(),
            hooks,
            sites,
            random: seeded()?,
            tally: Tally::default(),
            started: Instant::now(),
            stopped: options.stopped,
            timing,
        };
        try_hooks(&mut rig, &mut ladder, &events)?;
        keep_only(privilege::SAMPLING)?;
        rig.timing.lap("hooks");
        if let Some(known) = options.known {
            if let Some(findings) = confirm(known, fields, &mut rig)? {
                return Ok((findings, None, rig.timing));
            }
        }
        let hopeless = absence::hopeless(fields, &rig.sites, &ladder);
        let given_up: Vec<Field> = hopeless.keys().copied().collect();
        let (mut findings, attempt) = attempt(fields, options.keep_samples, &given_up, &mut rig)?;
        for finding in &mut findings {
            if finding.offset().is_none() {
                let why = hopeless.get(&finding.field).cloned();
                let why = why.or_else(|| absence::limits(finding.field, &rig.sites));
                finding.reason = why.or(finding.reason.take());
            }
        }
        log::info!("{}", rig.tally);
        Ok((findings, Some(attempt), rig.timing))
    });
    let (findings, attempt, mut timing) = measured?;
    timing.lap("release");
    Ok(Measurement {
        findings,
        attempt,
        timing,
    })
}

/// Causes each event, and replaces its hook by the next one as long as the event is not seen.
fn try_hooks(rig: &mut Rig<'_>, ladder: &mut Ladder, events: &[Event]) -> anyhow::Result<()> {
    for event in events {
        while let Some(hook) = ladder.hook(*event) {
            let mut observer = fire::Anything::of(*event);
            let LiveKernel { mut sampler, sites } = rig.kernel(&mut observer);
            let is_seen = fire::cause(&mut sampler, &mut sites.plain[0], *event);
            let is_seen = is_seen.with_context(|| format!("try {hook}"))?;
            rig.go_on()?;
            rig.marks.extend(observer.mark_at.map(|at| (*event, at)));
            if is_seen {
                log::info!("{event:?}: {hook}");
                break;
            }
            ladder.reject(&mut rig.hooks, *event)?;
        }
    }
    // Without packets only route lookups are left: that no hook shows them is a reason of their fields.
    if events.contains(&Event::Packet) {
        ladder.require(Event::Packet)?;
    }
    Ok(())
}

/// The known findings, if fresh connections confirm all of them.
fn confirm(
    known: Known,
    fields: &[Field],
    rig: &mut Rig<'_>,
) -> anyhow::Result<Option<Vec<Finding>>> {
    if !answers(&known, fields) {
        log::warn!("what is known does not say where each of these fields is; measuring them");
        return Ok(None);
    }
    let mut verification = Verification::new(&known.proven, &rig.marks)?;
    rig.round(&mut verification, 0)?;
    rig.timing.lap("verify");
    let doubtful = doubtful(&known.proven, &verification).map(Place::path);
    let doubtful: Vec<&str> = doubtful.collect();
    if doubtful.is_empty() {
        log::info!("served from the cache, confirmed on fresh connections");
        return Ok(Some(known.findings));
    }
    let doubtful = doubtful.join(", ");
    log::warn!("fresh connections do not confirm the cached {doubtful}; measuring again");
    rig.sites.release();
    Ok(None)
}

/// Whether the findings are of these fields, in their order, and say what will be confirmed.
fn answers(known: &Known, fields: &[Field]) -> bool {
    let says = |finding: &Finding, field: &Field| {
        let offset = finding.offset();
        finding.field == *field
            && offset.is_some()
            && offset == known.proven.offset(Place::Field(*field))
    };
    let mut both = known.findings.iter().zip(fields);
    known.findings.len() == fields.len() && both.all(|(finding, field)| says(finding, field))
}

/// Searches until the fields are settled, and again from the start if fresh connections contradict.
fn attempt(
    fields: &[Field],
    keep_samples: bool,
    given_up: &[Field],
    rig: &mut Rig<'_>,
) -> anyhow::Result<(Vec<Finding>, Attempt)> {
    let mut again = true;
    loop {
        let mut attempt = Attempt::new(fields, keep_samples, rig.marks.clone());
        attempt.solver.give_up(given_up);
        run_rounds(&mut attempt, |attempt, number| rig.round(attempt, number))?;
        let mut findings = attempt.solver.findings();
        rig.timing.lap("sample and solve");
        let proven = attempt.solver.all_proven();
        let mut verification = Verification::new(&proven, &rig.marks)?;
        rig.round(&mut verification, 0)?;
        rig.timing.lap("verify");
        let contradicted = verification.contradicted();
        if !contradicted.is_empty() && again {
            log::warn!("fresh connections contradict {contradicted:?}; starting over");
            again = false;
            rig.sites.release();
            continue;
        }
        withdraw(&mut findings, &proven, &verification);
        return Ok((findings, attempt));
    }
}

/// The places that fresh connections contradict, or did not confirm often enough.
fn doubtful(proven: &Proven, verification: &Verification) -> impl Iterator<Item = Place> {
    let places = proven.iter().map(|(place, _)| place);
    places.filter(|place| verification.confirmations(*place) < CONFIRMATIONS)
}

/// Withdraws what is not confirmed, and what depends on it.
fn withdraw(findings: &mut [Finding], proven: &Proven, verification: &Verification) {
    let is_lost = |finding: &&Finding| finding.offset().is_none();
    let lost = findings.iter().filter(is_lost);
    let mut refused: BTreeSet<Place> = lost.map(|finding| finding.field.into()).collect();
    refused.extend(doubtful(proven, verification));
    let refused = consequences(proven, refused);
    let contradicted = verification.contradicted();
    for finding in findings {
        let place = finding.field.into();
        if finding.offset().is_none() || !refused.contains(&place) {
            continue;
        }
        let times = verification.confirmations(place);
        finding.withdraw(if contradicted.contains(&place) {
            "fresh connections contradict it".into()
        } else if times < CONFIRMATIONS {
            format!("fresh connections confirmed it {times} times, {CONFIRMATIONS} are needed")
        } else {
            "what proves it or leads to it is not confirmed".into()
        });
    }
}
