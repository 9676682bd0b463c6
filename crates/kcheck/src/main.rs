//! Tells, by trying, what of Sextant this kernel can run. Only the way in.

mod bpf;
mod cli;
mod errno;
mod judge;
mod name;
mod outcome;
mod privileges;
mod probe;
mod probes;
mod report;
mod run;

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::cli::main(run::run)
}
