//! Examines one kernel: fetches or builds it, reads its layout, boots it for the runs and for each
//! condition, and passes the results to the judges.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use anyhow::ensure;
use tempfile::TempDir;

use super::condition::ConditionOutcome;
use super::condition::ConditionRun;
use super::condition::judge_condition;
use super::judge::Expectation;
use super::judge::Verdict;
use super::judge::judge;
use super::kernels::Condition;
use super::kernels::Kernel;
use super::kernels::Matrix;
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

/// Time limit of a guest, without its runs, in seconds.
const BOOT_S: u32 = 120;
/// Time limit of a run in a slow state on a busy host, in seconds.
const RUN_S: u32 = 8;

/// How much is tried, and how strictly.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Runs in each state.
    pub runs: u32,
    /// Longest time that a run under a condition may take; absent in tests, which must pass on busy
    /// machines.
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

/// A kernel in its folder, and its layout.
struct Fetched {
    folder: PathBuf,
    release: String,
    taken: String,
    layout: Layout,
}

/// The programs under test.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// What `scripts/build --static` prints, for the kernel's architecture.
    pub programs: &'a Path,
    /// The version that they were built from.
    pub version: &'a str,
}

/// Examines one kernel; stores nothing.
///
/// # Errors
/// If the kernel cannot be fetched or built, or a guest fails. What guesser does wrong is no error: the
/// outcome lists it.
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
    let output = guest.play(&format!("fields.sh {} {runs}", matrix.fields.name()))?;
    let judged = |state| -> anyhow::Result<Vec<(u64, Verdict)>> {
        let seen: Vec<Run> = output.json(state)?;
        let judged = seen.iter().map(|run| (run.wall_us, judge(&expected, run)));
        Ok(judged.collect())
    };
    let (idle, storm) = (judged("idle")?, judged("storm")?);
    let connections: Vec<u64> = output.json("connections")?;
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
    let folder = kernel.source.fetch(kernel.arch)?;
    let truth = script("truth", &[&folder.to_string_lossy()])?;
    let truth = fs::read_to_string(&truth).with_context(|| format!("read {truth}"))?;
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
fn run_under(condition: &Condition, guest: Guest) -> anyhow::Result<ConditionRun> {
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
    let word = |is_set: bool, yes, no| if is_set { yes } else { no };
    let modules = word(condition.without_modules, "none", "all");
    let launcher = word(condition.without_bpf, "without_bpf", "");
    let place = word(condition.steered, "steered", "here");
    let (fields, hook) = (condition.fields.name(), &condition.hook);
    let output = guest.play(&format!(
        "condition.sh {fields} {hook} {modules} {place} {launcher}"
    ))?;

    // If the condition does not hold, the run proves nothing.
    let processors: u32 = output.one("processors")?.parse()?;
    ensure!(processors == condition.smp, "{processors} processors");
    let cmdline = output.one("cmdline")?;
    ensure!(
        cmdline.ends_with(condition.append.as_str()),
        "command line {cmdline}"
    );

    let steered: u64 = output.one("steered")?.parse()?;
    ensure!(
        condition.steered == (steered > 0),
        "packets were steered to another processor {steered} times"
    );

    let mut runs: Vec<Run> = output.json("run")?;
    ensure!(runs.len() == 1, "{} runs, not one", runs.len());
    Ok(ConditionRun {
        run: runs.remove(0),
        before: output.lines("before").to_vec(),
        after: output.lines("after").to_vec(),
    })
}

/// Compiles the program that runs others without bpf(2), for guests of this machine's architecture.
fn compile_launcher(program: &Path) -> anyhow::Result<()> {
    let source = repository().join("tests/scenes/without_bpf.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=gnu11", "-O1", "-static", "-o"]);
    let status = compiler.arg(program).arg(&source).status()?;
    ensure!(status.success(), "{} does not compile", source.display());
    Ok(())
}
