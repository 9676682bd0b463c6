//! A child process that does not outlive its value. Does not read what it prints.

use std::env;
use std::ffi::OsString;
use std::io;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::PATIENCE;
use crate::wait_until;

/// A child process, killed by its process id when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts a command, without any setting of Sextant's but those that the command itself has.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn try_start(command: &mut Command) -> io::Result<Self> {
        without_settings(command);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match command.spawn() {
                // Another test that forks at this moment still has a new program open for writing.
                Err(error)
                    if error.kind() == io::ErrorKind::ExecutableFileBusy
                        && Instant::now() < deadline =>
                {
                    thread::sleep(Duration::from_millis(1));
                }
                child => {
                    let name = format!("{command:?}");
                    return child.map(|child| Self { child, name });
                }
            }
        }
    }

    /// Starts a command.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        Self::try_start(command).unwrap_or_else(|error| panic!("start {command:?}: {error}"))
    }

    /// The child itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its command line, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Sends a signal. If it has ended already, [`Self::wait`] says how.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(self.pid(), signal);
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// If the kernel does not let us wait for our child.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If that takes longer than [`PATIENCE`].
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        let what = format!("{} ends", self.name);
        wait_until(&what, || {
            status = self.status();
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Keeps this machine's settings away from a program: the environment's and the file's.
fn without_settings(command: &mut Command) {
    let own: Vec<OsString> = command.get_envs().map(|(name, _)| name.into()).collect();
    let ours = env::vars_os().map(|(name, _)| name);
    for name in ours.filter(|name| name.to_string_lossy().starts_with("SEXTANT_")) {
        if !own.contains(&name) {
            command.env_remove(name);
        }
    }
    if !own.iter().any(|name| name == "SEXTANT_CONFIG") {
        command.env("SEXTANT_CONFIG", "/dev/null");
    }
}
