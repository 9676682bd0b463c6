//! Measures where the running kernel keeps its fields, by experiment.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::cli::main(guesser::run)
}
