//! One run of a program as a record: how long it took, how it ended, what it printed. The guest writes
//! it, the host judges it.

use std::io;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use harness::Running;
use serde::Deserialize;
use serde::Serialize;

/// One run of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// From before the process was started until it was gone, in microseconds.
    pub wall_us: u64,
    /// Its exit code; absent if a signal ended it, also ours when its time was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Run {
    /// Runs a program to its end, or kills it after this time.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn of(command: &mut Command, time: Duration) -> io::Result<Self> {
        let start = Instant::now();
        let running = Running::try_start(command.stdin(Stdio::null()))?;
        let (status, finished) = running.finish_within(time);
        Ok(Self {
            wall_us: start.elapsed().as_micros() as u64,
            code: status.and_then(|status| status.code()),
            out: finished.out,
            err: finished.err,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_timed_and_a_killed_one_has_no_code() {
        let mut command = Command::new("sh");
        let command = command.args(["-c", "echo out; exec sleep 60"]);
        let seen = Run::of(command, Duration::from_millis(200)).unwrap();
        assert!((200_000..20_000_000).contains(&seen.wall_us));
        assert_eq!((seen.out.as_str(), seen.code), ("out\n", None));
    }
}
