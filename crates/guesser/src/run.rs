//! A run from the command line to the document: what is asked for, who answers, what is emitted.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use guess::ErrorKind;
use guess::Mechanism;
use guess::Options;
use guess::attempt::Attempt;
use guess::solve::verdict::Finding;
use guess::timing::Timing;
use shared::capability::Capability;
use shared::capability::keep_only;
use shared::cli::Tool as _;
use shared::cli::log::SUMMARY;
use shared::exit::Answer;
use shared::exit::Failure;
use shared::kernel::KernelIdentity;
use shared::offsets;
use shared::offsets::Document;
use shared::offsets::Field;
use shared::offsets::FieldResult;
use shared::offsets::Status;
use shared::stop::Stop;

use crate::btf::TypeInfo;
use crate::cache::Cache;
use crate::cli::Cli;
use crate::cli::Hook;
use crate::cli::Method;
use crate::emit::Destination;
use crate::emit::stopped;
use crate::explain;
use crate::replay;
use crate::replay::Capture;
use crate::terminal::Page;

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
        (None, Method::Btf) => (running()?, from_type_info(fields)?),
        (None, Method::Auto | Method::Guess) => {
            let kernel = running()?;
            let later = match (&cli.record, cli.cache()) {
                (None, None) => destination.needs(),
                _ => destination.needs_files(),
            };
            let results = measured(&cli, &kernel, later, &stop, &mut timing)?;
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
    let (attempt, findings) = capture.solve();
    timing.lap("solve");
    if cli.explain {
        explain(&attempt, &findings);
    }
    let results = findings.iter().map(FieldResult::from).collect();
    log::warn!("replayed, not verified: no fresh connection confirms these offsets anew");
    Ok((kernel, results))
}

/// By experiment, with a look at the kernel's type information meanwhile.
fn measured(
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
    let asked = stop.clone();
    let options = Options {
        mechanisms: mechanisms(cli.hook),
        allow_system_changes: cli.common().allow_system_changes,
        keep_samples: cli.record.is_some(),
        known: cache.as_ref().and_then(|cache| cache.load(kernel)),
        stopped: Arc::new(move || asked.asked()),
    };
    let running = guess::start(fields, options).map_err(guess::Error::into_cause)?;
    keep_only(later)?;
    let type_info = match cli.method {
        Method::Auto => Some(TypeInfo::of_running(fields)),
        _ => None,
    };
    let measurement = running.finish().map_err(|error| match error.kind() {
        ErrorKind::Stopped => stopped().into(),
        _ => error.into_cause(),
    })?;
    timing.continue_from(&measurement.timing);
    match &measurement.attempt {
        Some(attempt) if cli.explain => explain(attempt, &measurement.findings),
        None if cli.explain => {
            log::info!(target: SUMMARY, "nothing was searched: the cache was confirmed");
        }
        _ => {}
    }
    timing.lap("wait for BTF");
    let silent = |error: &anyhow::Error| log::info!("nothing to compare with: {error:#}");
    let type_info = type_info.and_then(|read| read.inspect_err(silent).ok());
    let findings = measurement.findings.iter();
    let results: Vec<FieldResult> = findings
        .map(|finding| compare(finding, type_info.as_ref()))
        .collect();
    if let Some(attempt) = measurement.attempt {
        if let Some(cache) = cache {
            let document = document(kernel.clone(), results.clone(), timing);
            cache.store(&document, &attempt.solver.all_proven());
        }
        if let Some(file) = &cli.record {
            let capture = Capture::of(kernel, attempt, &measurement.findings);
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

fn explain(attempt: &Attempt, findings: &[Finding]) {
    let page = Page::of_terminal().unwrap_or_default();
    for line in explain::lines(&attempt.solver, findings, &attempt.samples, page) {
        log::info!(target: SUMMARY, "{line}");
    }
}

fn mechanisms(hook: Hook) -> Vec<Mechanism> {
    match hook {
        Hook::Auto => vec![Mechanism::Tracepoint, Mechanism::Kprobe],
        Hook::Tracepoint => vec![Mechanism::Tracepoint],
        Hook::Kprobe => vec![Mechanism::Kprobe],
    }
}

/// A finding beside what BTF says. Where they differ, what was measured is kept.
fn compare(finding: &Finding, type_info: Option<&TypeInfo>) -> FieldResult {
    let mut result = FieldResult::from(finding);
    result.btf_offset = type_info.and_then(|info| info.offset(finding.field));
    if let (Some(measured), Some(btf)) = (result.offset, result.btf_offset) {
        if measured == btf {
            result.method = Some(offsets::Method::GuessBtf);
        } else {
            let field = finding.field;
            log::warn!("{field}: measured at {measured}, BTF says {btf}; the measured one is kept");
        }
    }
    result
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
            method: offset.map(|_| offsets::Method::Btf),
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
            (
                &[168][..],
                Some(168),
                Some(offsets::Method::GuessBtf),
                Some(168),
            ),
            (&[168], Some(176), Some(offsets::Method::Guess), Some(168)),
            (&[168], None, Some(offsets::Method::Guess), Some(168)),
            // BTF must not choose among candidates.
            (&[168, 176], Some(176), None, None),
        ] {
            let info = TypeInfo::of(&[(Field::NfConnMark, said)]);
            let result = compare(&finding(candidates), Some(&info));
            assert_eq!((result.method, result.offset), (method, offset));
            assert_eq!(result.btf_offset, said);
            assert_eq!(result.candidates, candidates);
        }
    }
}
