//! `witness`: runs a program a number of times, in a guest or here, and prints each run as one line of
//! JSON.

use std::ffi::OsString;
use std::process::Command;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use scenes::run::Run;
use shared::cli::Common;
use shared::cli::Tool;
use shared::exit::Answer;
use shared::line::Lines;

/// Run a program a number of times and print each run as one line of JSON
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Number of runs
    #[arg(long, default_value_t = 1)]
    runs: u32,
    /// Milliseconds between two runs
    #[arg(long, default_value_t = 0)]
    pause_ms: u64,
    /// Seconds after which a run is killed
    #[arg(long, default_value_t = 20)]
    patience: u64,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<OsString>,
    #[command(flatten)]
    common: Common,
}

impl Tool for Cli {
    const NAME: &'static str = "witness";

    fn common(&self) -> &Common {
        &self.common
    }
}

fn main() -> ExitCode {
    shared::cli::main(run)
}

fn run(cli: Cli) -> anyhow::Result<Answer> {
    let mut out = Lines::stdout();
    for number in 0..cli.runs {
        if number > 0 {
            thread::sleep(Duration::from_millis(cli.pause_ms));
        }
        let mut command = Command::new(&cli.program[0]);
        let command = command.args(&cli.program[1..]);
        let run = Run::of(command, Duration::from_secs(cli.patience))
            .with_context(|| format!("run {}", cli.program[0].to_string_lossy()))?;
        out.json(&run)?;
        out.flush()?;
    }
    Ok(Answer::Done)
}
