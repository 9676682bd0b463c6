//! Examines one kernel: fetches or builds it, asks for the truth, boots it for the runs and for
//! each condition, and hands what came out to the judges.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use anyhow::ensure;
use tempfile::TempDir;

use super::condition::ConditionOutcome;
use super::condition::Seen;
use super::condition::judge_condition;
use super::judge::Expectation;
use super::judge::Verdict;
use super::judge::judge;
use super::kernels::Condition;
use super::kernels::Kernel;
use super::kernels::Matrix;
use super::kernels::Source;
use super::kernels::reasons;
use super::layout::Layout;
use super::outcome::Outcome;
use super::outcome::Tally;
use super::outcome::of_fields;
use super::stale::asked;
use crate::guest::Guest;
use crate::run::Run;
use crate::tree::repository;
use crate::tree::script;

/// Seconds that a guest gets beside those of its runs.
const BOOT_S: u32 = 120;
/// Seconds that a run gets, in a state that makes it slow, on a host that does other things too.
const RUN_S: u32 = 8;

/// How much is tried, and how strictly.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Runs in each state.
    pub runs: u32,
    /// Longest time that a run under a condition may take; absent in tests, which have to pass on
    /// machines that do other things too.
    pub condition_limit_ms: Option<u64>,
}

impl Effort {
    /// For the matrix.
    #[must_use]
    pub fn full(matrix: &Matrix) -> Self {
        Self {
            runs: matrix.runs,
            condition_limit_ms: Some(matrix.condition_limit_ms),
        }
    }

    /// For tests.
    #[must_use]
    pub fn short(matrix: &Matrix) -> Self {
        Self {
            runs: matrix.short_runs,
            condition_limit_ms: None,
        }
    }
}

/// A kernel in its folder, and what is true of it.
struct Fetched {
    folder: PathBuf,
    release: String,
    taken: String,
    layout: Layout,
}

/// The programs that are tried.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// What `scripts/build --static` prints, for the kernel's architecture.
    pub programs: &'a Path,
    /// The version that they were built from.
    pub version: &'a str,
}

/// Examines one kernel; nothing is kept.
///
/// # Errors
/// If the kernel cannot be had or a guest fails. What guesser does wrong is no error: it stands in
/// the outcome.
pub fn examine(
    matrix: &Matrix,
    kernel: &Kernel,
    tried: Tried,
    effort: Effort,
) -> anyhow::Result<Outcome> {
    let runs = effort.runs;
    let fetched = fetch(kernel)?;
    let expected = Expectation {
        release: &fetched.release,
        fields: matrix.fields.fields(),
        layout: &fetched.layout,
        reasons: &reasons(&kernel.missing),
    };
    let guest = Guest {
        smp: kernel.smp,
        tools: &["ip", "nft"],
        limit_s: BOOT_S + 2 * runs * RUN_S,
        ..Guest::new(&fetched.folder, tried.programs)
    };
    let told = guest.play(&format!("fields.sh {} {runs}", matrix.fields.name()))?;
    let judged = |state| -> anyhow::Result<Vec<(u64, Verdict)>> {
        let seen: Vec<Run> = told.json(state)?;
        let judged = seen.iter().map(|run| (run.wall_us, judge(&expected, run)));
        Ok(judged.collect())
    };
    let (idle, storm) = (judged("idle")?, judged("storm")?);
    let connections: Vec<u64> = told.json("connections")?;
    let fewest = connections.into_iter().min().context("no storm")?;
    let verdicts: Vec<&Verdict> = idle
        .iter()
        .chain(&storm)
        .map(|(_, verdict)| verdict)
        .collect();
    let under_condition = |condition: &Condition| -> anyhow::Result<ConditionOutcome> {
        let seen =
            run_under(condition, guest).with_context(|| format!("condition {}", condition.name))?;
        let expected = Expectation {
            fields: condition.fields.fields(),
            reasons: &reasons(kernel.missing.iter().chain(&condition.missing)),
            ..expected
        };
        let limit_ms = effort.condition_limit_ms;
        Ok(judge_condition(condition, &expected, limit_ms, &seen))
    };
    let conditions = kernel.conditions.iter().map(under_condition);
    Ok(Outcome {
        kernel: kernel.name.clone(),
        release: fetched.release.clone(),
        taken: fetched.taken.clone(),
        sextant: tried.version.to_owned(),
        asked: asked(matrix.fields, kernel),
        fields: of_fields(&expected, &verdicts),
        idle: Tally::of(&idle),
        storm: Tally::of(&storm),
        storm_connections: fewest,
        conditions: conditions.collect::<anyhow::Result<_>>()?,
    })
}

fn fetch(kernel: &Kernel) -> anyhow::Result<Fetched> {
    let folder = match &kernel.source {
        Source::Package {
            suite,
            version,
            flavour,
        } => script("kernel", &[suite, version, flavour, kernel.arch.name()])?,
        Source::Built { config, version } => script("kernel-build", &[config, version])?,
    };
    let truth = script("truth", &[&folder])?;
    let truth = fs::read_to_string(&truth).with_context(|| format!("read {truth}"))?;
    let folder = PathBuf::from(folder);
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    Ok(Fetched {
        release: read("release")?.trim().to_owned(),
        taken: read("taken")?
            .lines()
            .find_map(|line| line.strip_prefix("Version: "))
            .context("no version in what was taken")?
            .to_owned(),
        layout: Layout::parse(&truth)?,
        folder,
    })
}

/// Boots a guest under a condition and runs guesser once there.
fn run_under(condition: &Condition, guest: Guest) -> anyhow::Result<Seen> {
    let directory = TempDir::new()?;
    let launcher = directory.path().join("without_bpf");
    let files: &[&Path] = if condition.without_bpf {
        compile_launcher(&launcher)?;
        &[&launcher]
    } else {
        &[]
    };
    let guest = Guest {
        smp: condition.smp,
        append: &condition.append,
        files,
        limit_s: BOOT_S,
        ..guest
    };
    let modules = if condition.without_modules {
        "none"
    } else {
        "all"
    };
    let launcher = if condition.without_bpf {
        "without_bpf"
    } else {
        ""
    };
    let place = if condition.steered { "steered" } else { "here" };
    let (fields, hook) = (condition.fields.name(), &condition.hook);
    let told = guest.play(&format!(
        "condition.sh {fields} {hook} {modules} {place} {launcher}"
    ))?;

    // A condition that does not hold would prove nothing.
    let processors: u32 = told.one("processors")?.parse()?;
    ensure!(processors == condition.smp, "{processors} processors");
    let cmdline = told.one("cmdline")?;
    ensure!(
        cmdline.ends_with(condition.append.as_str()),
        "command line {cmdline}"
    );

    let steered: u64 = told.one("steered")?.parse()?;
    ensure!(
        condition.steered == (steered > 0),
        "a processor was told of packets {steered} times"
    );

    let mut runs: Vec<Run> = told.json("run")?;
    ensure!(runs.len() == 1, "{} runs, not one", runs.len());
    Ok(Seen {
        run: runs.remove(0),
        before: told.lines("before").to_vec(),
        after: told.lines("after").to_vec(),
    })
}

/// The program that runs others without bpf(2), for guests of this machine's own architecture.
fn compile_launcher(program: &Path) -> anyhow::Result<()> {
    let source = repository().join("tests/scenes/without_bpf.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=gnu11", "-O1", "-static", "-o"]);
    let status = compiler.arg(program).arg(&source).status()?;
    ensure!(status.success(), "{} does not compile", source.display());
    Ok(())
}
