//! `differential`: makes seeded random flows of many kinds, and compares what `conntrack` reports of them with what
//! conntrack-tools report and with what it did.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;
use scenes::differential::flow::MOST;
use scenes::differential::in_guest;
use scenes::differential::kind::Kind;
use scenes::differential::kinds::KINDS;
use scenes::differential::report;
use scenes::differential::run::Task;
use scenes::differential::run::run;
use scenes::differential::visible::Source;
use shared::cli::Common;
use shared::cli::Tool;
use shared::exit::Answer;
use shared::exit::Failure;
use shared::line::Lines;

/// Compare what conntrack reports of random flows with what the kernel did
///
/// Exit 0: no difference. 1: differences, each printed with its seed and its kind.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Seed of the first run; the same seed gives the same flows
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs, each with the next seed
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Flows in each run
    #[arg(long, default_value_t = 500)]
    flows: usize,
    /// Source that reports them
    #[arg(long, value_enum, default_value = "tracepoint")]
    source: Source,
    /// Kinds of flows, default: all; `--kinds list` prints them
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<String>,
    /// Flows made at a time
    #[arg(long, default_value_t = 8)]
    jobs: usize,
    /// Seconds after which an unused connection expires: more on a slow machine
    #[arg(long, default_value_t = 2)]
    expiry: u32,
    /// Kernel of tests/kernels.toml: run in a guest that boots it, with the programs of --programs
    #[arg(long, requires = "programs")]
    kernel: Option<String>,
    /// Folder that `scripts/build --static` prints
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Nobody else on this machine makes connections, so whatever is counted as lost is a difference; in a guest always
    #[arg(long)]
    alone: bool,
    /// Folder of differential_world.sh
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/scenes"))]
    scenes: PathBuf,
    #[command(flatten)]
    common: Common,
}

impl Tool for Cli {
    const NAME: &'static str = "differential";

    fn common(&self) -> &Common {
        &self.common
    }
}

fn main() -> ExitCode {
    shared::cli::main(start)
}

fn start(cli: Cli) -> anyhow::Result<Answer> {
    let mut out = Lines::stdout();
    if cli.kinds == ["list"] {
        for kind in KINDS {
            out.text(kind.name)?;
        }
        out.flush()?;
        return Ok(Answer::Done);
    }
    if cli.flows > MOST || cli.jobs == 0 {
        let text = format!("at most {MOST} flows, and at least one at a time");
        return Err(Failure::Usage(text).into());
    }
    let kinds = kinds(&cli.kinds)?;
    if let (Some(kernel), Some(programs)) = (&cli.kernel, &cli.programs) {
        let task = in_guest::Task {
            kernel,
            programs,
            seed: cli.seed,
            runs: cli.runs,
            flows: cli.flows,
            source: cli.source,
            kinds: &cli.kinds,
        };
        let said = in_guest::play(&task)?;
        for line in &said.lines {
            out.text(&format!("{kernel} {line}"))?;
        }
        out.flush()?;
        return match said.code.as_str() {
            "0" => Ok(Answer::Done),
            "1" => Ok(Answer::No),
            code => bail!("exit code {code} in the guest"),
        };
    }
    let mut answer = Answer::Done;
    for seed in cli.seed..cli.seed.saturating_add(cli.runs) {
        let task = Task {
            seed,
            flows: cli.flows,
            kinds: kinds.clone(),
            source: cli.source,
            jobs: cli.jobs,
            expiry_s: cli.expiry,
            is_alone: cli.alone,
            scenes: &cli.scenes,
        };
        let outcome = run(&task)?;
        for line in report::lines(&task, &outcome) {
            out.text(&line)?;
        }
        out.flush()?;
        if !outcome.verdict.differences.is_empty() {
            answer = Answer::No;
        }
    }
    Ok(answer)
}

fn kinds(names: &[String]) -> Result<Vec<&'static Kind>, Failure> {
    if names.is_empty() {
        return Ok(KINDS.iter().collect());
    }
    let found = names.iter().map(|name| {
        let found = KINDS.iter().find(|kind| kind.name == name);
        found.ok_or_else(|| Failure::Usage(format!("no such kind: {name} (see --kinds list)")))
    });
    found.collect()
}
