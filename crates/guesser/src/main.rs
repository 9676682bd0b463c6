//! Measures where the running kernel keeps its fields, by experiment.

mod bpf;
mod btf;
mod cli;
mod emit;
mod expected;
mod experiment;
mod explain;
mod fields;
mod guess;
mod ladder;
mod linear_map;
mod random;
mod refusal;
mod run;
mod sample;
mod solve;
mod timing;
mod verify;
mod way;

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::cli::main(run::run)
}
