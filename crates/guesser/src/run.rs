//! A run from the command line to the document: what is asked for, who answers, what is emitted.

use std::panic;
use std::path::Path;
use std::thread;

use anyhow::Context as _;
use caps::Capability;
use shared::cli::Tool as _;
use shared::cli::log::SUMMARY;
use shared::exit::Answer;
use shared::exit::Failure;
use shared::kernel::KernelIdentity;
use shared::offsets::Document;
use shared::offsets::Field;
use shared::offsets::FieldResult;
use shared::offsets::Method;
use shared::offsets::Status;
use shared::stop::Stop;

use crate::bpf::hook::Means;
use crate::btf::TypeInfo;
use crate::cache::Cache;
use crate::cli;
use crate::cli::Cli;
use crate::descriptors;
use crate::emit::Destination;
use crate::experiment;
use crate::experiment::Question;
use crate::explain;
use crate::guess::Search;
use crate::privilege;
use crate::replay;
use crate::replay::Capture;
use crate::solve::verdict::Finding;
use crate::terminal::Page;
use crate::timing::Timing;
use crate::watch::Watch;
use crate::watch::stopped;

/// Runs the tool.
///
/// # Errors
/// As the exit codes say.
pub fn run(cli: Cli) -> anyhow::Result<Answer> {
    let mut timing = Timing::start();
    cli.check()?;
    let stop = Stop::on_signals().context("install signal handlers")?;
    let destination = Destination::new(&cli)?;
    let fields = cli.fields.fields();
    let running = || KernelIdentity::running().context("identify the kernel");
    let (kernel, results) = match (&cli.replay, cli.method) {
        (Some(capture), _) => replayed(&cli, capture, &mut timing)?,
        (None, cli::Method::Btf) => (running()?, from_type_info(fields)?),
        (None, cli::Method::Auto | cli::Method::Guess) => {
            let kernel = running()?;
            let later = match (&cli.record, cli.cache()) {
                (None, None) => destination.needs(),
                _ => destination.needs_files(),
            };
            let results = measure(&cli, &kernel, later, &stop, &mut timing)?;
            (kernel, results)
        }
    };
    let document = document(kernel, results, &timing);
    let unproven = complain(&document);
    if stop.asked() {
        return Err(stopped().into());
    }
    destination.deliver(&document, cli.partial, &stop)?;
    timing.lap("emit");
    log::info!("{timing}");
    log::info!(
        target: SUMMARY,
        "{} of {} fields proven in {:.1} ms",
        document.fields.len() - unproven,
        document.fields.len(),
        document.elapsed_us as f64 / 1e3,
    );
    Ok(if unproven == 0 {
        Answer::Done
    } else {
        Answer::No
    })
}

/// Says of each field that is not proven why, and counts them.
fn complain(document: &Document) -> usize {
    let mut unproven = 0;
    for field in &document.fields {
        if field.status != Status::Proven {
            unproven += 1;
            let reason = field.reason.as_deref().unwrap_or("no reason is known");
            let status = format!("{:?}", field.status).to_lowercase();
            log::error!("{}: {status}: {reason}", field.name);
        }
    }
    unproven
}

/// From samples of another run. Nothing is read of the kernel that runs here.
fn replayed(
    cli: &Cli,
    path: &Path,
    timing: &mut Timing,
) -> anyhow::Result<(KernelIdentity, Vec<FieldResult>)> {
    let capture = replay::read(path)?;
    timing.lap("read");
    let kernel = capture.kernel.clone();
    let (search, findings) = capture.search();
    timing.lap("solve");
    if cli.explain {
        explain(&search, &findings);
    }
    let findings = findings.into_iter();
    let results = findings.map(|finding| compare(finding, None)).collect();
    log::warn!("replayed, not verified: no fresh connection confirms these offsets anew");
    Ok((kernel, results))
}

/// By experiment, with a look into the kernel's type information meanwhile.
fn measure(
    cli: &Cli,
    kernel: &KernelIdentity,
    later: &'static [Capability],
    stop: &Stop,
    timing: &mut Timing,
) -> anyhow::Result<Vec<FieldResult>> {
    let fields = cli.fields.fields();
    let cache = match cli.cache() {
        Some(directory) => Cache::new(directory, kernel, cli.fields.name(), fields)?,
        None => None,
    };
    if let Some(file) = &cli.record {
        replay::check_destination(file)?;
    }
    privilege::check()?;
    descriptors::reserve();
    let question = Question {
        fields,
        means: means(cli.hook),
        keeps_samples: cli.record.is_some(),
        allow_system_changes: cli.common().allow_system_changes,
        later,
    };
    let ask = cli.method == cli::Method::Auto;
    let beside = || {
        privilege::keep_only(privilege::NOTHING, &[])?;
        TypeInfo::of_running(fields)
    };
    let type_info = ask.then(|| thread::Builder::new().spawn(beside));
    let known = cache.as_ref().and_then(|cache| cache.load(kernel));
    let mut watch = Watch::new(cli.common(), stop.clone());
    let outcome = experiment::run(question, known, &mut watch, timing);
    let outcome = watch.outcome(outcome)?;
    drop(watch);
    privilege::keep_only(privilege::NOTHING, later)?;
    timing.lap("release");
    match &outcome.search {
        Some(search) if cli.explain => explain(search, &outcome.findings),
        None if cli.explain => {
            log::info!(target: SUMMARY, "nothing was searched: the cache was confirmed");
        }
        _ => {}
    }
    let type_info = type_info.map(|started| {
        let ended = started.context("start a thread")?.join();
        ended.unwrap_or_else(|payload| panic::resume_unwind(payload))
    });
    timing.lap("wait for BTF");
    let silent = |error: &anyhow::Error| log::info!("nothing to compare with: {error:#}");
    let type_info = type_info.and_then(|read| read.inspect_err(silent).ok());
    let type_info = type_info.as_ref();
    let findings = outcome.findings.iter().cloned();
    let results: Vec<FieldResult> = findings
        .map(|finding| compare(finding, type_info))
        .collect();
    if let Some(search) = outcome.search {
        if let Some(cache) = cache {
            let document = document(kernel.clone(), results.clone(), timing);
            cache.store(&document, &search.solver.all_proven());
        }
        if let Some(file) = &cli.record {
            let capture = Capture::of(kernel, search, &outcome.findings);
            replay::record(file, &capture)?;
        }
        timing.lap("keep");
    }
    Ok(results)
}

fn document(kernel: KernelIdentity, fields: Vec<FieldResult>, timing: &Timing) -> Document {
    Document {
        schema: Document::SCHEMA,
        kernel,
        elapsed_us: timing.elapsed_us(),
        fields,
    }
}

fn explain(search: &Search, findings: &[Finding]) {
    let page = Page::of_terminal().unwrap_or_default();
    for line in explain::lines(&search.solver, findings, &search.samples, page) {
        log::info!(target: SUMMARY, "{line}");
    }
}

const fn means(hook: cli::Hook) -> &'static [Means] {
    match hook {
        cli::Hook::Auto => &[Means::Tracepoint, Means::Kprobe],
        cli::Hook::Tracepoint => &[Means::Tracepoint],
        cli::Hook::Kprobe => &[Means::Kprobe],
    }
}

/// A finding beside what BTF says. Where they differ, what was measured is kept.
fn compare(finding: Finding, type_info: Option<&TypeInfo>) -> FieldResult {
    let btf_offset = type_info.and_then(|info| info.offset(finding.field));
    let offset = finding.offset();
    let method = match (offset, btf_offset) {
        (None, _) => None,
        (measured, said) if measured == said => Some(Method::GuessBtf),
        _ => Some(Method::Guess),
    };
    if let (Some(measured), Some(said)) = (offset, btf_offset) {
        if measured != said {
            let field = finding.field;
            log::warn!(
                "{field}: measured at {measured}, BTF says {said}; the measured one is kept"
            );
        }
    }
    FieldResult {
        name: finding.field.path().into(),
        status: finding.status,
        offset,
        size: finding.field.size_bytes(),
        method,
        evidence_bits: finding.evidence_bits,
        candidates: finding.candidates,
        btf_offset,
        reason: finding.reason,
    }
}

/// From the kernel's type information alone.
fn from_type_info(fields: &[Field]) -> anyhow::Result<Vec<FieldResult>> {
    let info = TypeInfo::of_running(fields).map_err(|error| {
        Failure::Kernel(format!(
            "this kernel has no readable type information: {error:#}"
        ))
    })?;
    let result = |field: &Field| {
        let offset = info.offset(*field);
        FieldResult {
            name: field.path().into(),
            status: offset.map_or(Status::Missing, |_| Status::Proven),
            offset,
            size: field.size_bytes(),
            method: offset.map(|_| Method::Btf),
            evidence_bits: None,
            candidates: offset.into_iter().collect(),
            btf_offset: offset,
            reason: info.reason(*field).map(str::to_owned),
        }
    };
    Ok(fields.iter().map(result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(candidates: &[u32]) -> Finding {
        let status = match candidates {
            [_] => Status::Proven,
            _ => Status::Ambiguous,
        };
        Finding {
            field: Field::NfConnMark,
            status,
            candidates: candidates.to_vec(),
            evidence_bits: Some(99),
            reason: None,
        }
    }

    #[test]
    fn what_was_measured_is_kept_whatever_btf_says() {
        for (candidates, said, method, offset) in [
            (&[168][..], Some(168), Some(Method::GuessBtf), Some(168)),
            (&[168], Some(176), Some(Method::Guess), Some(168)),
            (&[168], None, Some(Method::Guess), Some(168)),
            // BTF must not choose among candidates.
            (&[168, 176], Some(176), None, None),
        ] {
            let info = TypeInfo::of(&[(Field::NfConnMark, said)]);
            let result = compare(finding(candidates), Some(&info));
            assert_eq!((result.method, result.offset), (method, offset));
            assert_eq!(result.btf_offset, said);
            assert_eq!(result.candidates, candidates);
        }
    }
}
