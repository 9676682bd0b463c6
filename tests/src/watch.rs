//! One `conntrack` that runs alone, its records read from its standard output as they come.

use std::env;
use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::lab::Bpffs;
use crate::lab::unique;
use crate::program;
use crate::program::PATIENCE;
use crate::program::Running;
use crate::program::run;

/// A running conntrack.
pub struct Watch {
    running: Running,
    name: String,
    bpffs: Bpffs,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
    /// What it has told so far.
    pub records: Vec<Value>,
}

/// How it ended.
pub struct Ended {
    /// Exit status.
    pub code: Option<i32>,
    /// Everything that it told.
    pub records: Vec<Value>,
    /// Everything that it said on stderr.
    pub stderr: String,
}

impl Watch {
    /// Starts it with what guesser measures now, in a namespace or in that of the test, and waits
    /// until it is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn start(namespace: Option<&str>, flags: &[&str]) -> Self {
        let name = unique();
        let bpffs = Bpffs::mount();
        let offsets = offsets_file(&name);
        run(Command::new(program::path("guesser"))
            .arg("-o")
            .arg(&offsets));
        let mut command = match namespace {
            Some(namespace) => program::in_namespace(namespace, "sh"),
            None => Command::new("sh"),
        };
        // It says that it is ready by an empty line among its records.
        command
            .args(["-c", "exec \"$@\" --ready-fd 3 3>&1", "sh"])
            .arg(program::path("conntrack"))
            .args(["-o", "json", "--ring", &name, "--offsets"])
            .arg(&offsets)
            .arg("--pin")
            .arg(bpffs.join(&name))
            .args(flags)
            .env("SEXTANT_CONFIG", "/dev/null")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut running = Running::start(&mut command);
        let out = running.output().expect("its output is piped");
        let mut err = running.errors().expect("its errors are piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let errors = thread::spawn(move || {
            let mut said = String::new();
            let _ = err.read_to_string(&mut said);
            said
        });
        let mut watch = Self {
            running,
            name,
            bpffs,
            lines,
            errors: Some(errors),
            records: Vec::new(),
        };
        watch.until("readiness", |line, _| line.is_empty());
        watch
    }

    /// Takes records until these many fit.
    ///
    /// # Panics
    /// If they do not come in time.
    pub fn wait_for(&mut self, what: &str, count: usize, fits: impl Fn(&Value) -> bool) {
        let mut found = self.records.iter().filter(|record| fits(record)).count();
        if found < count {
            self.until(what, |_, record| {
                found += usize::from(record.is_some_and(&fits));
                found >= count
            });
        }
    }

    /// Takes what comes until nothing has come for this long.
    pub fn settle(&mut self, quiet: Duration) {
        while let Ok(line) = self.lines.recv_timeout(quiet) {
            self.take(&line);
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    /// Ends it by SIGTERM.
    ///
    /// # Panics
    /// If it does not end, or leaves something behind.
    #[must_use]
    pub fn end(mut self) -> Ended {
        let status = self.running.stop();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.take(&line);
        }
        let errors = self.errors.take().map(JoinHandle::join);
        let stderr = errors.and_then(Result::ok).unwrap_or_default();
        assert!(!self.ring().exists(), "the ring is left behind: {stderr}");
        assert!(!self.bpffs.join(&self.name).exists(), "pins are left");
        Ended {
            code: status.code(),
            records: std::mem::take(&mut self.records),
            stderr,
        }
    }

    fn take(&mut self, line: &str) -> Option<&Value> {
        if line.is_empty() {
            return None;
        }
        let record = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("not a record: {error}: {line}"));
        self.records.push(record);
        self.records.last()
    }

    fn until(&mut self, what: &str, mut is_enough: impl FnMut(&str, Option<&Value>) -> bool) {
        let start = Instant::now();
        while let Some(left) = PATIENCE.checked_sub(start.elapsed()) {
            let Ok(line) = self.lines.recv_timeout(left) else {
                break;
            };
            let record = self.take(&line);
            if is_enough(&line, record) {
                return;
            }
        }
        // Its end also ends the thread that reads its errors.
        self.running.signal(Signal::SIGKILL);
        let errors = self.errors.take().map(JoinHandle::join);
        let stderr = errors.and_then(Result::ok).unwrap_or_default();
        let last: Vec<String> = self
            .records
            .iter()
            .rev()
            .take(5)
            .map(Value::to_string)
            .collect();
        let count = self.records.len();
        panic!("no {what} after {count} records, the last {last:#?}; it said: {stderr}");
    }

    fn ring(&self) -> PathBuf {
        PathBuf::from("/dev/shm").join(&self.name)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = fs::remove_file(offsets_file(&self.name));
        // Only if it was killed.
        let _ = fs::remove_file(self.ring());
    }
}

fn offsets_file(name: &str) -> PathBuf {
    env::temp_dir().join(format!("{name}.offsets"))
}
