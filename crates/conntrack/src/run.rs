//! From the command line to the summary: what is done, and in which order.

use std::mem::MaybeUninit;

use anyhow::Context as _;
use shared::cli::log::SUMMARY;
use shared::clock::realtime_offset_ns;
use shared::exit::Answer;
use shared::exit::Failure;
use shared::ring::RingError;
use shared::ring::Writer;
use shared::stop::Stop;

use crate::bpf;
use crate::bpf::Object;
use crate::cli::Cli;
use crate::counters::Counters;
use crate::get;
use crate::metrics::Metrics;
use crate::output::Output;
use crate::pins::Pins;
use crate::plan::Plan;
use crate::pump::Pump;
use crate::ready::Ready;
use crate::source;
use crate::source::RUNGS;

/// Answers a question or runs until the end.
///
/// # Errors
/// With the exit code that `README.md` documents.
pub fn run(cli: Cli) -> anyhow::Result<Answer> {
    bpf::log_through_us();
    if let Some(question) = &cli.get {
        return get::answer(question, &cli);
    }
    let ready = cli.ready_fd.map(Ready::take).transpose()?;
    let plan = Plan::make(&cli)?;
    let stop = Stop::on_signals().context("install signal handlers")?;
    let pins = Pins::claim(cli.pin.as_deref(), plan.may_change_system)?;
    let mut objects: [Object; RUNGS] = [const { MaybeUninit::uninit() }; RUNGS];
    let mut source = source::open(&plan, pins.is_some(), &mut objects)?;
    let kind = source.kind();
    match (&pins, source.table()) {
        (Some(pins), Some(table)) => pins.pin(table)?,
        (Some(_), None) => log::info!("this source keeps no table in BPF maps: nothing is pinned"),
        (None, _) => {}
    }
    let ring = Writer::create(&plan.ring, plan.ring_bytes, kind).map_err(|error| match error {
        RingError::Size(_) => anyhow::Error::new(Failure::Usage(error.to_string())),
        error => error.into(),
    })?;
    let offset_ns = realtime_offset_ns().context("read the clock")?;
    let metrics = cli
        .metrics
        .as_ref()
        .map(|path| {
            Metrics::create(path.clone(), kind.name())
                .with_context(|| format!("write metrics {}", path.display()))
        })
        .transpose()?;
    let mut pump = Pump {
        plan: &plan,
        ring,
        output: Output::new(cli.output, kind, offset_ns),
        metrics,
        counters: Counters::default(),
    };
    pump.load(&mut *source)?;
    if let Some(ready) = ready {
        ready.tell();
    }
    pump.run(&mut *source, &stop)?;
    let Pump { counters, .. } = pump;
    log::info!(target: SUMMARY, "source {}: {counters}", kind.name());
    Ok(if cli.fail_on_loss && counters.losses() > 0 {
        Answer::No
    } else {
        Answer::Done
    })
}
