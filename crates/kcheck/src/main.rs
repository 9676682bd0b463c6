//! kcheck: tests what this kernel can run of Sextant. Only the entry point.

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
