//! From the command line to the summary: the steps of a run in their order.

use anyhow::Context as _;
use shared::cli::log::SUMMARY;
use shared::exit::Answer;
use shared::ring::Writer;
use shared::stop::Stop;

use crate::bpf::libbpf;
use crate::cli::Cli;
use crate::counters::Counters;
use crate::get;
use crate::metrics::Metrics;
use crate::output::Output;
use crate::pin_directory::PinDirectory;
use crate::plan::Plan;
use crate::pump::Pump;
use crate::ready::Ready;
use crate::source;
use crate::wall_clock::WallClock;

/// Answers `--get`, or runs until the end.
///
/// # Errors
/// With the exit code that `README.md` documents.
pub fn run(cli: Cli) -> anyhow::Result<Answer> {
    libbpf::log_messages();
    if let Some(query) = &cli.get {
        return get::answer(query, &cli);
    }
    let ready = cli.ready_fd.map(Ready::take).transpose()?;
    let plan = Plan::make(cli)?;
    // Before any work is done.
    plan.cli.metrics.as_deref().map_or(Ok(()), Metrics::check)?;
    let stop = Stop::on_signals().context("install signal handlers")?;
    let pins = PinDirectory::claim(plan.cli.pin.as_deref(), plan.may_change_system())?;
    // Before the first event: what happened earlier has no time.
    let clock = WallClock::open()?;
    let mut source = source::open(&plan, pins.is_some())?;
    let kind = source.kind();
    match (&pins, source.table()) {
        (Some(pins), Some(table)) => pins.pin(table)?,
        (Some(_), None) => log::info!("this source keeps no table in BPF maps: nothing is pinned"),
        (None, _) => {}
    }
    let ring = Writer::create(&plan.cli.ring, plan.cli.ring_size, kind)?;
    let metrics = plan
        .cli
        .metrics
        .as_ref()
        .map(|path| Metrics::create(path.clone(), kind.name()))
        .transpose()?;
    let mut pump = Pump {
        plan: &plan,
        ring,
        output: Output::new(plan.cli.output, kind),
        metrics,
        clock,
        source: kind,
        counters: Counters::default(),
        written: Ok(()),
    };
    pump.load(&mut *source)?;
    if let Some(ready) = ready {
        ready.notify();
    }
    pump.run(&mut *source, &stop)?;
    let Pump { counters, .. } = pump;
    log::info!(target: SUMMARY, "source {}: {counters}", kind.name());
    Ok(if plan.cli.fail_on_loss && counters.losses() > 0 {
        Answer::No
    } else {
        Answer::Done
    })
}
