//! The programs under test as child processes: found beside the test's own binary, killed by
//! their id when a test ends in any way, their output kept for the failure message.

use std::env;
use std::io::BufRead as _;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStderr;
use std::process::ChildStdout;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// Longest wait for anything that a program does.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Directory of the workspace's binaries: where this test was built.
///
/// # Panics
/// If the test lies elsewhere.
#[must_use]
pub fn directory() -> PathBuf {
    let test = env::current_exe().expect("a test has a path");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("tests lie in target/PROFILE/deps");
    profile.to_owned()
}

/// A binary of the workspace.
///
/// # Panics
/// If it is not built: tests of several binaries run after `cargo build --workspace`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let path = directory().join(name);
    assert!(
        path.is_file(),
        "{} is not built: cargo build --workspace",
        path.display()
    );
    path
}

/// `ip netns exec NAMESPACE PROGRAM`.
#[must_use]
pub fn in_namespace(namespace: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// Runs a command to its end.
///
/// # Panics
/// If it fails; the message has its standard error.
pub fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    assert!(
        output.status.success(),
        "{command:?}: {} {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("programs print text")
}

/// A child that does not outlive its test.
pub struct Running {
    child: Child,
    name: String,
}

impl Running {
    /// Starts a command.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        Self {
            child: command.spawn().expect("the program starts"),
            name,
        }
    }

    /// Starts a command and waits until it says `ready` on its first line.
    ///
    /// # Panics
    /// If it says something else or ends.
    pub fn start_ready(command: &mut Command) -> Self {
        let mut running = Self::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let out = running.child.stdout.take().expect("its output is piped");
        let mut line = String::new();
        BufReader::new(out)
            .read_line(&mut line)
            .expect("its output is text");
        assert_eq!(line, "ready\n", "{}", running.name);
        running
    }

    /// Its standard output, if that is a pipe.
    pub fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard error, if that is a pipe.
    pub fn errors(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        // It may have ended by itself; then a wait says how.
        let _ = kill(self.pid(), signal);
    }

    /// Sends SIGTERM and waits for its end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If that takes longer than [`PATIENCE`].
    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "{} does not end", self.name);
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
