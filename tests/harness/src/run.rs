//! Runs of a program whose output is read while it runs: line by line, or all of it at the end.

use std::io;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read;
use std::io::Write as _;
use std::mem;
use std::ops::Deref;
use std::ops::DerefMut;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;

use crate::PATIENCE;
use crate::Process;

/// A program that has ended by itself.
#[derive(Debug)]
pub struct Finished {
    /// Exit code.
    pub code: i32,
    /// Standard output as text.
    pub out: String,
    /// Standard output as it came.
    pub bytes: Vec<u8>,
    /// Standard error.
    pub err: String,
}

impl Finished {
    /// Standard output of a run that must succeed.
    ///
    /// # Panics
    /// If it did not.
    #[must_use]
    pub fn success(self) -> String {
        assert_eq!(self.code, 0, "{}", self.err);
        self.out
    }

    /// The one JSON value that a run which must succeed prints.
    ///
    /// # Panics
    /// If it did not succeed, or printed something else.
    #[must_use]
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        parse(&self.bytes)
    }

    /// Standard output as one JSON value per line.
    ///
    /// # Panics
    /// If a line is none.
    #[must_use]
    pub fn records(&self) -> Vec<Value> {
        let lines = self.bytes.split_inclusive(|byte| *byte == b'\n');
        lines.map(parse).collect()
    }

    /// Standard error, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<&str> {
        self.err.lines().collect()
    }
}

fn parse(text: &[u8]) -> Value {
    serde_json::from_slice(text)
        .unwrap_or_else(|error| panic!("not JSON: {error}: {}", String::from_utf8_lossy(text)))
}

/// Runs a command to its end, without input.
///
/// # Panics
/// If it cannot be started, is ended by a signal, or takes longer than [`PATIENCE`].
pub fn run(command: &mut Command) -> Finished {
    Running::start(command.stdin(Stdio::null())).finish()
}

/// Runs a command to its end with this input.
///
/// # Panics
/// As [`run`] does.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Finished {
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let stdin = running.child().stdin.take();
    let input = input.to_vec();
    // The program may end before it has read all of it.
    thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
    running.finish()
}

/// A started program whose output is captured.
#[derive(Debug)]
pub struct Running {
    process: Process,
    out: Pipe,
    err: Pipe,
}

impl Running {
    /// Starts a command with standard output and error captured. Standard input is the command's affair.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn try_start(command: &mut Command) -> io::Result<Self> {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::try_start(command)?;
        let child = process.child();
        Ok(Self {
            out: Pipe::new(child.stdout.take()),
            err: Pipe::new(child.stderr.take()),
            process,
        })
    }

    /// The same, of a command that must start.
    ///
    /// # Panics
    /// If it does not.
    pub fn start(command: &mut Command) -> Self {
        Self::try_start(command).unwrap_or_else(|error| panic!("start {command:?}: {error}"))
    }

    /// Waits for the next line on standard output.
    ///
    /// # Panics
    /// If none comes.
    pub fn line(&mut self) -> String {
        self.line_within(PATIENCE)
            .unwrap_or_else(|| panic!("no line, but {:?}", self.said()))
    }

    /// The same, or none within this time.
    pub fn line_within(&mut self, time: Duration) -> Option<String> {
        let line = self.out.next(Instant::now() + time).ok()?;
        Some(String::from_utf8_lossy(line).into_owned())
    }

    /// Waits until standard error has a line that contains this.
    ///
    /// # Panics
    /// If none comes.
    pub fn hears(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.err.next(deadline) {
                Ok(line) if String::from_utf8_lossy(line).contains(text) => return,
                Ok(_) => {}
                Err(_) => panic!("no {text:?} in {:?}", self.said()),
            }
        }
    }

    /// Ends it at once; what it had printed on standard error.
    pub fn said(&mut self) -> String {
        self.process.kill();
        self.err.read_to_end(Instant::now() + PATIENCE);
        String::from_utf8_lossy(&self.err.seen).into_owned()
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// If it does not come within [`PATIENCE`], or by a signal.
    pub fn finish(self) -> Finished {
        let name = self.process.name().to_owned();
        let (status, finished) = self.finish_within(PATIENCE);
        let status = status.unwrap_or_else(|| panic!("{name} does not end: {}", finished.err));
        status.code().unwrap_or_else(|| panic!("{name}: {status}"));
        assert!(!finished.err.contains('\u{fffd}'), "{name}: not UTF-8");
        finished
    }

    /// Waits for the end, or kills it after this time; then there is no status. The exit code is -1 if
    /// there is none.
    ///
    /// # Panics
    /// If the kernel does not let us wait for our child.
    pub fn finish_within(mut self, time: Duration) -> (Option<ExitStatus>, Finished) {
        let deadline = Instant::now() + time;
        // Both pipes end when the process does: so nothing has to look again and again whether it has.
        let has_ended = self.out.read_to_end(deadline) && self.err.read_to_end(deadline);
        if !has_ended {
            self.process.kill();
            self.out.read_to_end(Instant::now() + PATIENCE);
            self.err.read_to_end(Instant::now() + PATIENCE);
        }
        let status = has_ended.then(|| self.process.wait());
        let bytes = mem::take(&mut self.out.seen);
        let finished = Finished {
            code: status.and_then(|status| status.code()).unwrap_or(-1),
            out: String::from_utf8_lossy(&bytes).into_owned(),
            err: String::from_utf8_lossy(&self.err.seen).into_owned(),
            bytes,
        };
        (status, finished)
    }
}

impl Deref for Running {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// One of a program's outputs, which a thread reads line by line.
#[derive(Debug)]
struct Pipe {
    lines: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Pipe {
    fn new(pipe: Option<impl Read + Send + 'static>) -> Self {
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe?);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).ok()? > 0 {
                sender.send(mem::take(&mut line)).ok()?;
            }
            Some(())
        });
        let seen = Vec::new();
        Self { lines, seen }
    }

    fn next(&mut self, deadline: Instant) -> Result<&[u8], RecvTimeoutError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = self.lines.recv_timeout(left)?;
        let start = self.seen.len();
        self.seen.extend(line);
        Ok(&self.seen[start..])
    }

    /// False if the deadline came first.
    fn read_to_end(&mut self, deadline: Instant) -> bool {
        loop {
            match self.next(deadline) {
                Ok(_) => {}
                Err(error) => return error == RecvTimeoutError::Disconnected,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, time: Duration) -> (Option<ExitStatus>, Finished) {
        let mut command = Command::new("sh");
        Running::start(command.args(["-c", script])).finish_within(time)
    }

    #[test]
    fn output_and_exit_code_are_captured() {
        let script = "echo one; echo two >&2; exec >&-; sleep 0.1; exit 7";
        let finished = sh(script, PATIENCE).1;
        assert_eq!((finished.out.as_str(), finished.code), ("one\n", 7));
        assert_eq!(finished.err, "two\n");
    }

    #[test]
    fn more_than_a_pipe_holds_is_captured() {
        let finished = sh("head -c 300000 /dev/zero | tr '\\0' x", PATIENCE).1;
        assert_eq!((finished.bytes.len(), finished.code), (300_000, 0));
    }

    #[test]
    fn what_does_not_end_is_killed() {
        let script = "echo waiting; exec sleep 60";
        let (status, finished) = sh(script, Duration::from_millis(200));
        assert_eq!((finished.out.as_str(), status), ("waiting\n", None));
    }

    #[test]
    fn input_reaches_the_program() {
        assert_eq!(run_with_input(&mut Command::new("cat"), b"x\n").out, "x\n");
    }
}
