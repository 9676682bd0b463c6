//! A run from the command line to the document: measure, replay or read BTF, then deliver the result.

use std::panic;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::Context as _;
use guess::Options;
use guess::attempt::Attempt;
use guess::solve::verdict::Finding;
use guess::timing::Timing;
use shared::capability::keep_only;
use shared::cli::Tool as _;
use shared::cli::log::SUMMARY;
use shared::exit::Answer;
use shared::kernel::KernelIdentity;
use shared::offsets::Document;
use shared::offsets::Field;
use shared::offsets::FieldResult;
use shared::offsets::Status;
use shared::stop::Stop;

use crate::btf::TypeInfo;
use crate::cache::Cache;
use crate::cli::Cli;
use crate::cli::Method;
use crate::emit::Destination;
use crate::emit::stopped;
use crate::explain;
use crate::replay;
use crate::replay::Capture;
use crate::results::compared;
use crate::results::from_btf;
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
    let found = match &cli.replay {
        Some(capture) => from_capture(&cli, capture, &mut timing),
        None => from_running_kernel(&cli, &destination, &stop, &mut timing),
    };
    // A signal interrupts system calls, so it can appear as any error.
    if stop.asked() {
        return Err(stopped().into());
    }
    let document = found?;
    let unproven = report_unproven(&document);
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
    Ok(match unproven {
        0 => Answer::Done,
        _ => Answer::No,
    })
}

/// Solves the samples of another run. Reads nothing of the kernel that runs here.
fn from_capture(cli: &Cli, path: &Path, timing: &mut Timing) -> anyhow::Result<Document> {
    let capture = replay::read(path)?;
    timing.lap("read");
    let kernel = capture.kernel.clone();
    let (attempt, findings) = capture.solve();
    timing.lap("solve");
    if cli.explain {
        explain(&attempt, &findings);
    }
    let results = findings.iter().map(FieldResult::from).collect();
    log::warn!("replayed, not verified: no fresh connections confirm these offsets");
    Ok(document(kernel, results, timing))
}

/// Measures the running kernel on a thread of its own, and reads its type information meanwhile; or reads
/// its type information only.
fn from_running_kernel(
    cli: &Cli,
    destination: &Destination,
    stop: &Stop,
    timing: &mut Timing,
) -> anyhow::Result<Document> {
    let fields = cli.fields.fields();
    let kernel = KernelIdentity::running().context("identify the kernel")?;
    if cli.method == Method::Btf {
        return Ok(document(kernel, from_btf(fields)?, timing));
    }
    let cache = match cli.cache() {
        Some(directory) => Cache::new(directory, &kernel, cli.fields.name(), fields)?,
        None => None,
    };
    let record = cli.record.as_deref();
    record.map_or(Ok(()), replay::check_destination)?;
    let stop = stop.clone();
    let options = Options {
        mechanisms: cli.hook.mechanisms(),
        allow_system_changes: cli.common().allow_system_changes,
        keep_samples: record.is_some(),
        known: cache.as_ref().and_then(|cache| cache.load(&kernel)),
        stopped: Arc::new(move || stop.asked()),
    };
    let running = guess::start(fields, options).map_err(guess::Error::into_cause)?;
    let writes_other_files = record.is_some() || cli.cache().is_some();
    let dropped = keep_only(destination.needs(writes_other_files));
    let btf = (cli.method == Method::Auto).then(|| thread::spawn(|| read_btf(fields)));
    let measurement = running.finish().map_err(guess::Error::into_cause)?;
    dropped?;
    timing.continue_from(&measurement.timing);
    match &measurement.attempt {
        Some(attempt) if cli.explain => explain(attempt, &measurement.findings),
        None if cli.explain => {
            log::info!(target: SUMMARY, "nothing was searched: the cache was confirmed");
        }
        _ => {}
    }
    let type_info = btf.map(|thread| {
        let read = thread.join();
        read.unwrap_or_else(|payload| panic::resume_unwind(payload))
    });
    timing.lap("wait for BTF");
    if let Some(Err(error)) = &type_info {
        log::info!("there is no BTF to compare with: {error:#}");
    }
    let type_info = type_info.and_then(Result::ok);
    let results = measurement.findings.iter().map(|finding| {
        let btf_offset = type_info.as_ref().and_then(|btf| btf.offset(finding.field));
        compared(finding, btf_offset)
    });
    let document = document(kernel, results.collect(), timing);
    if let Some(attempt) = measurement.attempt {
        if let Some(cache) = cache {
            cache.store(&document, &attempt.solver.all_proven());
        }
        if let Some(file) = record {
            let capture = Capture::of(&document.kernel, attempt, &measurement.findings);
            replay::record(file, &capture)?;
        }
        timing.lap("keep");
    }
    Ok(document)
}

/// Reads the kernel's type information without any privilege.
fn read_btf(fields: &[Field]) -> anyhow::Result<TypeInfo> {
    keep_only([])?;
    TypeInfo::of_running(fields)
}

fn document(kernel: KernelIdentity, fields: Vec<FieldResult>, timing: &Timing) -> Document {
    Document {
        schema: Document::SCHEMA,
        kernel,
        elapsed_us: timing.elapsed_us(),
        fields,
    }
}

/// Reports each field that is not proven, with the reason. Returns their number.
fn report_unproven(document: &Document) -> usize {
    let fields = document.fields.iter();
    let unproven: Vec<_> = fields.filter(|one| one.status != Status::Proven).collect();
    for field in &unproven {
        let reason = field.reason.as_deref().unwrap_or("no reason is known");
        let status = format!("{:?}", field.status).to_lowercase();
        log::error!("{}: {status}: {reason}", field.name);
    }
    unproven.len()
}

fn explain(attempt: &Attempt, findings: &[Finding]) {
    let page = Page::of_stderr();
    for line in explain::lines(&attempt.solver, findings, &attempt.samples, page) {
        log::info!(target: SUMMARY, "{line}");
    }
}
