//! `matrix`: tries guesser on the kernels of `tests/kernels.toml`, prints each result as it comes, and
//! writes the page. `scripts/matrix` starts it.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc;
use std::thread;

use anyhow::Context as _;
use anyhow::ensure;
use clap::Parser;
use scenes::guest::executables;
use scenes::matrix::examine::Effort;
use scenes::matrix::examine::Tried;
use scenes::matrix::examine::examine;
use scenes::matrix::kernels::Arch;
use scenes::matrix::kernels::Kernel;
use scenes::matrix::kernels::Matrix;
use scenes::matrix::outcome::Outcome;
use scenes::matrix::outcome::Tally;
use scenes::matrix::page::median;
use scenes::matrix::page::page;
use scenes::matrix::store;
use scenes::tree;
use scenes::tree::repository;
use scenes::tree::script;
use shared::cli::Common;
use shared::cli::Tool;
use shared::exit::Answer;
use shared::exit::Failure;
use shared::line::Lines;
use tempfile::TempDir;

/// Try guesser on other kernels
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Names of kernels; without any, all that need not be built
    names: Vec<String>,
    /// Runs in each state; with fewer than the table requests, no result is stored
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// Guests at a time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    jobs: u8,
    /// Write docs/kernels.md from the stored results
    #[arg(long)]
    write: bool,
    /// Write docs/kernels.md, and try nothing
    #[arg(long, conflicts_with_all = ["names", "runs", "write"])]
    page_only: bool,
    /// Where results are stored
    #[arg(long)]
    results: PathBuf,
    #[command(flatten)]
    common: Common,
}

impl Tool for Cli {
    const NAME: &'static str = "matrix";

    fn common(&self) -> &Common {
        &self.common
    }
}

fn main() -> ExitCode {
    shared::cli::main(run)
}

fn run(cli: Cli) -> anyhow::Result<Answer> {
    let data = repository().join("tests/kernels.toml");
    let text = fs::read_to_string(&data).with_context(|| format!("read {}", data.display()))?;
    let matrix = Matrix::parse(&text)?;
    if cli.page_only {
        write_page(&matrix, &cli.results)?;
        return Ok(Answer::Done);
    }
    let kernels = matrix
        .select(&cli.names)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let full = Effort::full(&matrix);
    let effort = Effort {
        runs: cli.runs.unwrap_or(full.runs),
        ..full
    };
    // A few runs must not replace the result of many.
    let is_stored = effort.runs >= full.runs;
    if cli.write && !is_stored {
        let runs = full.runs;
        let words = format!(
            "results of fewer than {runs} runs are not stored, so there is nothing to write"
        );
        return Err(Failure::Usage(words).into());
    }
    let version = tree::version()?;
    let own = TempDir::new().context("make a folder for the programs")?;
    let programs = programs(&kernels, own.path())?;
    ensure!(
        version == tree::version()?,
        "the tree changed while the programs were built"
    );

    let mut out = Lines::stdout();
    out.text(&line([
        "kernel", "taken", "idle", "median", "storm", "median",
    ]))?;
    out.flush()?;
    let mut all_well = true;
    let queue = Mutex::new(VecDeque::from(kernels));
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| -> anyhow::Result<()> {
        for _ in 0..cli.jobs {
            let (queue, matrix, programs) = (&queue, &matrix, &programs);
            let (version, sender) = (&version, sender.clone());
            scope.spawn(move || {
                // The lock is held only to take one: a panic elsewhere cannot break the queue.
                let next = || {
                    queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front()
                };
                while let Some(kernel) = next() {
                    let tried = Tried {
                        programs: &programs[&kernel.arch],
                        version,
                    };
                    let result = examine(matrix, kernel, tried, effort);
                    // The receiver is gone if the output failed.
                    if sender.send((kernel, result)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (kernel, result) in results {
            match result {
                Ok(outcome) => {
                    if is_stored {
                        store::save(&cli.results, &outcome)?;
                    }
                    all_well &= print(&mut out, &outcome)?;
                }
                Err(error) => {
                    all_well = false;
                    if is_stored {
                        store::remove(&cli.results, &kernel.name)?;
                    }
                    log::error!("{}: {error:#}", kernel.name);
                }
            }
        }
        Ok(())
    })?;
    if cli.write {
        write_page(&matrix, &cli.results)?;
    }
    Ok(if all_well { Answer::Done } else { Answer::No })
}

/// The static programs for each architecture, built if necessary and copied, since a later build here must
/// not be tried under this version's name.
fn programs(kernels: &[&Kernel], own: &Path) -> anyhow::Result<HashMap<Arch, PathBuf>> {
    let mut folders = HashMap::new();
    for kernel in kernels {
        if let Entry::Vacant(place) = folders.entry(kernel.arch) {
            let arch = kernel.arch.name();
            let built = script("build", &["--static", "--release", "--arch", arch])?;
            let folder = place.insert(own.join(arch));
            fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
            for program in executables(Path::new(&built))? {
                let name = program.file_name().context("a program has a name")?;
                let copied = fs::copy(&program, folder.join(name));
                copied.with_context(|| format!("copy {}", program.display()))?;
            }
        }
    }
    Ok(folders)
}

fn line(cells: [&str; 6]) -> String {
    let [kernel, taken, idle, idle_median, storm, storm_median] = cells;
    format!("{kernel:<14} {taken:<20} {idle:<24} {idle_median:>8}  {storm:<24} {storm_median:>8}")
}

/// Prints one kernel's outcome; is it as expected?
fn print(out: &mut Lines<impl Write>, outcome: &Outcome) -> anyhow::Result<bool> {
    let counts = |tally: &Tally| {
        let Tally {
            total,
            complete,
            wrong,
            ..
        } = tally;
        format!("{complete} of {total}, {wrong} wrong")
    };
    let (idle, storm) = (&outcome.idle, &outcome.storm);
    out.text(&line([
        &outcome.kernel,
        &outcome.taken,
        &counts(idle),
        &median(idle),
        &counts(storm),
        &median(storm),
    ]))?;
    for condition in &outcome.conditions {
        let exit = condition
            .exit
            .map_or("no exit code".into(), |code| format!("exit {code}"));
        let ms = condition.wall_us / 1_000;
        out.text(&format!(
            "    {}: {exit} in {ms} ms: {}",
            condition.name, condition.said
        ))?;
    }
    let unexpected = outcome.unexpected();
    for words in &unexpected {
        out.text(&format!("    NOT AS EXPECTED: {words}"))?;
    }
    out.flush()?;
    Ok(unexpected.is_empty())
}

fn write_page(matrix: &Matrix, results: &Path) -> anyhow::Result<()> {
    let mut outcomes = Vec::new();
    let mut older = BTreeSet::new();
    for kernel in &matrix.kernels {
        outcomes.extend(store::load(results, &kernel.name)?);
    }
    for outcome in &outcomes {
        if !tree::is_as_in(&outcome.sextant)? {
            older.insert(outcome.sextant.clone());
        }
    }
    let path = repository().join("docs/kernels.md");
    fs::write(&path, page(matrix, &outcomes, &older))
        .with_context(|| format!("write {}", path.display()))
}
