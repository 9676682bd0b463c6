//! One run: the world, both streams, the flows of a seed, and the verdict.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use serde_json::Value;

use super::compare;
use super::compare::Verdict;
use super::difference::Difference;
use super::difference::Fault;
use super::flow::owner;
use super::kind::Kind;
use super::plan::Planned;
use super::plan::plan;
use super::said::Made;
use super::scene::Scene;
use super::servers;
use super::servers::Receipts;
use super::streams::Streams;
use super::visible::Source;
use super::visible::sees;
use super::world::World;

/// Runs whose oracle lost events are void, and made again.
const ATTEMPTS: u32 = 3;

/// What to run.
#[derive(Debug, Clone)]
pub struct Task<'a> {
    /// Of the random numbers.
    pub seed: u64,
    /// How many flows.
    pub flows: usize,
    /// Of these kinds.
    pub kinds: Vec<&'static Kind>,
    /// Which source is tried.
    pub source: Source,
    /// Flows made at a time.
    pub jobs: usize,
    /// Seconds after which an unused connection expires.
    pub expiry_s: u32,
    /// Nobody else on this machine makes connections.
    pub is_alone: bool,
    /// The folder with the script of the world.
    pub scenes: &'a Path,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The comparison.
    pub verdict: Verdict,
    /// Flows made, by kind.
    pub made: HashMap<&'static str, usize>,
    /// Flows of a kind whose situation did not arise, and why.
    pub not_made: HashMap<&'static str, (usize, &'static str)>,
    /// Kinds that this kernel cannot have, and what it lacks.
    pub skipped: Vec<(&'static str, &'static str)>,
    /// Losses that we reported, of the whole machine, by place.
    pub losses: BTreeMap<String, u64>,
    /// What we said at the end.
    pub summary: String,
}

/// Runs it.
///
/// # Errors
/// If anything but the comparison fails.
pub fn run(task: &Task<'_>) -> anyhow::Result<Outcome> {
    for _ in 0..ATTEMPTS {
        if let Some(outcome) = attempt(task)? {
            return Ok(outcome);
        }
        log::warn!("conntrack -E lost events: the run is void");
    }
    bail!("conntrack -E lost events in each of {ATTEMPTS} runs")
}

fn attempt(task: &Task<'_>) -> anyhow::Result<Option<Outcome>> {
    let world = World::up(task.scenes, task.expiry_s)?;
    let receipts = Arc::new(Receipts::default());
    servers::serve(&world, &receipts)?;
    let scene = Scene { world, receipts };
    let mut outcome = Outcome::default();
    let can = |kind: &&'static Kind| kind.needs.is_none_or(|need| scene.world.has(need));
    let (kinds, lacking): (Vec<&Kind>, Vec<&Kind>) = task.kinds.iter().partition(|kind| can(kind));
    let lacks = lacking
        .iter()
        .filter_map(|kind| Some((kind.name, kind.needs?.name())));
    outcome.skipped = lacks.collect();
    let flows = plan(task.seed, task.flows, &kinds);

    let streams = Streams::start(&scene.world, task.source)?;
    let mut made = make(&scene, &flows, task.jobs);
    wait_for_ends(&scene.world)?;
    let Some(said) = streams.end(&scene.world)? else {
        return Ok(None);
    };
    made.sort_by_key(|(number, _)| *number);
    let mut accounts = Vec::new();
    let mut failed = Vec::new();
    for (flow, (number, made)) in flows.iter().zip(made) {
        let kind = flow.kind.name;
        *outcome.made.entry(kind).or_default() += 1;
        let made = made.unwrap_or_else(|error| {
            failed.push(Difference {
                fault: Fault::Oracle,
                flow: Some(number),
                kind,
                detail: format!("the generator failed: {error:#}"),
            });
            Made::default()
        });
        if let Some(why) = made.not_made {
            outcome.not_made.entry(kind).or_insert((0, why)).0 += 1;
        }
        accounts.push(compare::Flow {
            kind,
            sees: sees(task.source, kind).0,
            is_ended_by_reply: flow.kind.is_ended_by_reply,
            said: made.said,
        });
    }
    outcome.verdict = compare::compare(task.source, &accounts, &said.oracle, &said.ours, owner);
    outcome.verdict.differences.extend(failed);
    // Nothing is tracked in the world's other namespaces.
    outcome
        .verdict
        .differences
        .extend(said.elsewhere.into_iter().map(|record| Difference {
            fault: Fault::Invented,
            flow: None,
            kind: "",
            detail: format!("in a namespace that tracks nothing: {record}"),
        }));
    outcome.losses = losses(&said.losses)?;
    if task.is_alone {
        let differences = outcome.losses.iter().map(|(place, count)| Difference {
            fault: Fault::Loss,
            flow: None,
            kind: "",
            detail: format!("{count} at {place}, and nobody else makes connections"),
        });
        outcome.verdict.differences.extend(differences);
    }
    outcome.summary = said.summary;
    Ok(Some(outcome))
}

/// Sums up records of losses.
fn losses(records: &[Value]) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut losses = BTreeMap::new();
    for record in records {
        let place = record["where"].as_str().context("a loss has a place")?;
        let count = record["count"].as_u64().context("a loss has a count")?;
        *losses.entry(place.to_owned()).or_default() += count;
    }
    Ok(losses)
}

type Result = (usize, anyhow::Result<Made>);

/// Makes all flows, a few at a time.
fn make(scene: &Scene, flows: &[Planned], jobs: usize) -> Vec<Result> {
    let queue = Mutex::new(flows.iter());
    let made = Mutex::new(Vec::new());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(flow) = next() {
                    let result = (flow.flow.number, (flow.kind.make)(scene, &flow.flow));
                    made.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(result);
                }
            });
        }
    });
    made.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until every connection of the router has expired. A look into the table removes those that have.
fn wait_for_ends(world: &World) -> anyhow::Result<()> {
    // The longest timeout is ten times as long.
    let deadline = Instant::now() + 12 * world.expiry + Duration::from_secs(10);
    loop {
        let left = world.tools(&["-L"]);
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(anyhow::anyhow!("{left:#?}")).context("connections do not end");
        }
        thread::sleep(Duration::from_millis(100));
    }
}
