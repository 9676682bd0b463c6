//! `lifecycle`: runs the BPF programs of conntrack on fake kernel objects and checks what they report, keep and
//! count. Needs no network, no connection tracking and no traffic.

mod bench;
mod bpf;
mod case;
mod cases;
mod fake;
mod measure;

use std::process::ExitCode;

use anyhow::Context as _;
use bench::Bench;
use clap::Parser;
use shared::cli::Common;
use shared::cli::Tool;
use shared::exit::Answer;
use shared::line::Lines;

/// Run the BPF programs of conntrack on fake kernel objects
///
/// Prints each case that fails and why, then the number of cases. Exit 1: some failed.
#[derive(Parser)]
#[command(version, verbatim_doc_comment)]
struct Cli {
    /// Run only cases whose name contains this
    #[arg(conflicts_with = "bench")]
    name: Option<String>,
    /// List the cases
    #[arg(long, conflicts_with = "bench")]
    list: bool,
    /// Print what the programs cost in nanoseconds, and what their alternatives would; needs 5.17
    #[arg(long)]
    bench: bool,
    #[command(flatten)]
    common: Common,
}

impl Tool for Cli {
    const NAME: &'static str = "lifecycle";

    fn common(&self) -> &Common {
        &self.common
    }
}

fn main() -> ExitCode {
    shared::cli::main(run)
}

fn run(cli: Cli) -> anyhow::Result<Answer> {
    let mut out = Lines::stdout();
    if cli.bench {
        measure::run(&mut out)?;
        out.flush()?;
        return Ok(Answer::Done);
    }
    let (mut total, mut failed) = (0, 0);
    for (setup, cases) in cases::all()? {
        let wanted = |name: &str| cli.name.as_deref().is_none_or(|part| name.contains(part));
        let mut cases = cases.iter().filter(|case| wanted(case.name)).peekable();
        if cli.list {
            for case in cases {
                out.text(case.name)?;
            }
            continue;
        }
        if cases.peek().is_none() {
            continue;
        }
        let mut bench = Bench::load(setup)?;
        for case in cases {
            total += 1;
            bench
                .begin()
                .with_context(|| format!("prepare for {}", case.name))?;
            if let Err(why) = (case.run)(&mut bench).and_then(|()| bench.end()) {
                failed += 1;
                out.text(&format!("{}: {why:#}", case.name))?;
            }
        }
    }
    if !cli.list {
        out.text(&format!("{total} cases, {failed} failed"))?;
    }
    out.flush()?;
    Ok(if failed == 0 && (total > 0 || cli.list) {
        Answer::Done
    } else {
        Answer::No
    })
}
