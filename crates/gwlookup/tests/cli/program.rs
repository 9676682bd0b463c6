//! Runs gwlookup and hands over what it said. Every wait has a deadline, and a child that is
//! still there when a test ends is killed by its process id.

use std::ffi::OsStr;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write as _;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;

/// Nothing here takes longer, unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a finished run left.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Standard output as JSON, line by line.
    pub fn records(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
            .collect()
    }

    /// Asserts the exit code, and that stderr is this one line.
    pub fn says(&self, code: i32, line: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.stderr, format!("gwlookup: {line}\n"));
    }
}

/// gwlookup, not yet started, with no settings but these arguments.
pub fn command<S: AsRef<OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gwlookup"));
    command
        .args(args)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs gwlookup to its end.
pub fn run<S: AsRef<OsStr>>(args: &[S]) -> Finished {
    Running::start(&mut command(args)).finish()
}

/// Runs gwlookup to its end with this input.
pub fn run_with_input<S: AsRef<OsStr>>(args: &[S], input: &[u8]) -> Finished {
    let mut running = Running::start(command(args).stdin(Stdio::piped()));
    let mut stdin = running.child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end before it has read all.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let finished = running.finish();
    writer.join().unwrap();
    finished
}

/// A started gwlookup.
pub struct Running {
    pub child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    seen_stdout: String,
    seen_stderr: String,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let deadline = Instant::now() + PATIENCE;
        let mut child = loop {
            match command.spawn() {
                // Another test that forks just now still has the copied program open for writing.
                Err(error)
                    if error.kind() == ErrorKind::ExecutableFileBusy
                        && Instant::now() < deadline =>
                {
                    thread::sleep(Duration::from_millis(1));
                }
                spawned => break spawned.unwrap(),
            }
        };
        let stdout = lines_of(child.stdout.take().unwrap());
        let stderr = lines_of(child.stderr.take().unwrap());
        Self {
            child,
            stdout,
            stderr,
            seen_stdout: String::new(),
            seen_stderr: String::new(),
        }
    }

    /// Waits for the next line on standard output.
    pub fn line(&mut self) -> String {
        let line = self.stdout.recv_timeout(PATIENCE).expect("a line");
        self.seen_stdout.push_str(&line);
        line
    }

    /// Waits until stderr has a line that contains this.
    pub fn hears(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.stderr.recv_timeout(left).unwrap_or_else(|_| {
                panic!("no {text:?} in {:?}", self.seen_stderr);
            });
            self.seen_stderr.push_str(&line);
            if line.contains(text) {
                return;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits for the end.
    pub fn finish(mut self) -> Finished {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > deadline => panic!("does not end"),
                None => thread::sleep(Duration::from_millis(2)),
            }
        };
        let mut stdout = std::mem::take(&mut self.seen_stdout);
        let mut stderr = std::mem::take(&mut self.seen_stderr);
        // Both ends of the pipes are closed now, so the channels end too.
        stdout.extend(self.stdout.iter());
        stderr.extend(self.stderr.iter());
        Finished {
            code: status.code().unwrap_or_else(|| panic!("{status}")),
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = String::new();
        while pipe.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            if sender.send(std::mem::take(&mut line)).is_err() {
                return;
            }
        }
    });
    receiver
}
