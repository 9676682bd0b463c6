//! One run: probe, report, and turn the outcome into the exit code.

use std::io;
use std::time::Instant;

use anyhow::Context as _;
use shared::cli::log::SUMMARY;
use shared::exit::Answer;
use shared::exit::Failure;
use shared::kernel::KernelIdentity;
use shared::line::Lines;

use crate::cli::Cli;
use crate::name::Name;
use crate::outcome;
use crate::outcome::Offsets;
use crate::outcome::Outcome;
use crate::probe::Probe;
use crate::probe::Verdict;
use crate::probes;
use crate::report;

/// Asks everything, prints what was asked for, and answers.
pub fn run(cli: Cli) -> anyhow::Result<Answer> {
    let start = Instant::now();
    let probes = probes::all(cli.common.allow_system_changes)?;
    let outcome = outcome::decide(&probes);
    let elapsed_ms = start.elapsed().as_secs_f64() * 1e3;
    match print(&cli, &probes, &outcome) {
        // Whoever read the report has seen enough; the exit code is still the answer.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other.context("write the report")?,
    }
    let count = probes.len();
    log::debug!("{count} probes in {elapsed_ms:.1} ms");
    if cli.require.is_empty() {
        answer(&outcome, &probes, cli.allow_degraded)
    } else {
        required(&cli.require, &probes)
    }
}

fn print(cli: &Cli, probes: &[Probe], outcome: &Outcome) -> io::Result<()> {
    let mut lines = Lines::stdout();
    if cli.json {
        report::json(&mut lines, &KernelIdentity::running()?, probes, outcome)?;
    } else if !cli.common.quiet {
        report::text(&mut lines, probes)?;
    }
    lines.flush()
}

fn answer(outcome: &Outcome, probes: &[Probe], allow_degraded: bool) -> anyhow::Result<Answer> {
    match outcome {
        Outcome::Ready(source, offsets) => {
            let (from, by) = (source.as_str(), offsets.as_str());
            log::info!(target: SUMMARY, "ready: source {from}, offsets by {by}");
            if *offsets == Offsets::Btf {
                log::warn!("offsets cannot be measured here, only read: use guesser --method btf");
            }
            let is_lacking = |name| {
                let mut probes = probes.iter();
                probes.any(|probe| probe.name == name && probe.verdict == Verdict::No)
            };
            for (name, what) in [(Name::CtZones, "zones"), (Name::CtMark, "marks")] {
                if is_lacking(name) {
                    log::warn!("this kernel has no {what}: use guesser --partial");
                }
            }
            Ok(Answer::Done)
        }
        Outcome::Degraded(missing) => {
            let why = explain(missing, probes);
            log::info!(target: SUMMARY, "degraded: only source netlink works ({why})");
            Ok(if allow_degraded {
                Answer::Done
            } else {
                Answer::No
            })
        }
        Outcome::Unprivileged(lacks) => {
            Err(Failure::Privilege(format!("missing privilege: {}", lacks.join(", "))).into())
        }
        Outcome::Unsupported(missing) => {
            let why = explain(missing, probes);
            Err(Failure::Kernel(format!("no source works: {why}")).into())
        }
    }
}

/// The answer to `--require`.
fn required(names: &[Name], probes: &[Probe]) -> anyhow::Result<Answer> {
    let missing: Vec<&Probe> = probes
        .iter()
        .filter(|probe| names.contains(&probe.name) && probe.verdict != Verdict::Yes)
        .collect();
    if missing.is_empty() {
        return Ok(Answer::Done);
    }
    let why = explain(
        &missing.iter().map(|probe| probe.name).collect::<Vec<_>>(),
        probes,
    );
    Err(if missing.iter().any(|probe| !probe.lacks.is_empty()) {
        Failure::Privilege(why)
    } else {
        Failure::Kernel(why)
    }
    .into())
}

/// Why these probes did not say yes: `name: errno: sentence`, each on its own, in one line.
fn explain(names: &[Name], probes: &[Probe]) -> String {
    let told: Vec<String> = probes
        .iter()
        .filter(|probe| names.contains(&probe.name))
        .map(|probe| {
            let errno = probe.errno.map(|errno| format!("{errno}: "));
            let errno = errno.unwrap_or_default();
            format!("{}: {errno}{}", probe.name, probe.detail)
        })
        .collect();
    told.join("; ")
}
