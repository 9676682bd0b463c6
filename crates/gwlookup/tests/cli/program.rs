//! Runs gwlookup with the harness of all tests.

use std::process::Command;
use std::process::Stdio;

use harness::Finished;
use harness::Running;

/// The program under test.
pub const GWLOOKUP: &str = env!("CARGO_BIN_EXE_gwlookup");

/// Runs gwlookup to its end.
pub fn run(args: &[&str]) -> Finished {
    harness::run(Command::new(GWLOOKUP).args(args))
}

/// Runs gwlookup to its end with this input.
pub fn run_with_input(args: &[&str], input: &[u8]) -> Finished {
    harness::run_with_input(Command::new(GWLOOKUP).args(args), input)
}

/// Starts gwlookup, its input a pipe that stays open.
pub fn start(args: &[&str]) -> Running {
    Running::start(Command::new(GWLOOKUP).args(args).stdin(Stdio::piped()))
}

/// What gwlookup says when it refuses.
pub trait Says {
    /// Asserts the exit code, and that stderr is this one line.
    fn says(&self, code: i32, line: &str);
}

impl Says for Finished {
    fn says(&self, code: i32, line: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.err, format!("gwlookup: {line}\n"));
    }
}
