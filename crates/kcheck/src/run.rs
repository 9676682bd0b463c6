//! One run: try every probe, print the report, and turn the outcome into the exit code.

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

/// Tries every probe, prints the report, and answers.
pub fn run(cli: Cli) -> anyhow::Result<Answer> {
    let start = Instant::now();
    let probes = probes::all(cli.common.allow_system_changes)?;
    let outcome = outcome::decide(&probes);
    let elapsed_ms = start.elapsed().as_secs_f64() * 1e3;
    match print(&cli, &probes, &outcome) {
        // The reader of the report wants no more; the exit code is still the answer.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other.context("write the report")?,
    }
    log::debug!("{} probes in {elapsed_ms:.1} ms", probes.len());
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

/// The exit code of the outcome, and what it means on stderr.
fn answer(outcome: &Outcome, probes: &[Probe], allow_degraded: bool) -> anyhow::Result<Answer> {
    let why = |names: &[Name]| explain(probes.iter().filter(|probe| names.contains(&probe.name)));
    match outcome {
        Outcome::Ready(source, offsets) => {
            let (from, by) = (source.name(), offsets.as_str());
            log::info!(target: SUMMARY, "ready: source {from}, offsets by {by}");
            if *offsets == Offsets::Btf {
                log::warn!("offsets cannot be measured here, only read: use guesser --method btf");
            }
            for probe in probes
                .iter()
                .filter(|probe| probe.answer.verdict == Verdict::No)
            {
                let what = match probe.name {
                    Name::CtZones => "zones",
                    Name::CtMark => "marks",
                    _ => continue,
                };
                log::warn!("this kernel has no {what}: use guesser --partial");
            }
            Ok(Answer::Done)
        }
        Outcome::Degraded(missing) => {
            let why = why(missing);
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
            Err(Failure::Kernel(format!("no source works: {}", why(missing))).into())
        }
    }
}

/// The answer to `--require`.
fn required(names: &[Name], probes: &[Probe]) -> anyhow::Result<Answer> {
    let is_missing =
        |probe: &&Probe| names.contains(&probe.name) && probe.answer.verdict != Verdict::Yes;
    let missing: Vec<&Probe> = probes.iter().filter(is_missing).collect();
    let why = explain(missing.iter().copied());
    if missing.is_empty() {
        Ok(Answer::Done)
    } else if missing.iter().any(|probe| !probe.answer.lacks.is_empty()) {
        Err(Failure::Privilege(why).into())
    } else {
        Err(Failure::Kernel(why).into())
    }
}

/// Why these probes did not answer yes, in one line.
fn explain<'a>(probes: impl Iterator<Item = &'a Probe>) -> String {
    let reasons: Vec<String> = probes.map(ToString::to_string).collect();
    reasons.join("; ")
}
