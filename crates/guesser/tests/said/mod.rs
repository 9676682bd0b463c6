//! What a run of a program said and how it ended, for the tests of guesser as a black box.

use std::process::Command;
use std::process::Stdio;

use nix::unistd::geteuid;
use serde_json::Value;

pub const GUESSER: &str = env!("CARGO_BIN_EXE_guesser");

pub struct Said {
    pub code: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Said {
    /// The document, of a run that proved all of it.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_slice(&self.out).unwrap()
    }

    pub fn lines(&self) -> Vec<&str> {
        self.err.lines().collect()
    }
}

/// Runs a command that measures the kernel.
pub fn run(command: &mut Command) -> Said {
    assert!(
        geteuid().is_root(),
        "this test measures the kernel: run it as root"
    );
    let output = command
        .env_remove("SEXTANT_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Said {
        code: output.status.code().expect("it ends by itself"),
        out: output.stdout,
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
