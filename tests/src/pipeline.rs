//! The four programs as a user composes them, in a shell, with a ring and pins of their own; and
//! the records that come out at the end, as they come.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use harness::Bpffs;
use harness::PATIENCE;
use harness::Running;
use harness::build_folder;
use harness::built;
use harness::unique;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::sys::signal::killpg;
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use nix::unistd::mkfifo;
use serde_json::Value;
use tempfile::TempDir;

use crate::records::Records;

/// A pipeline that runs.
pub struct Pipeline {
    /// The shell and gwlookup's records.
    shell: Records,
    /// The shell and all that it started; absent once they have ended.
    group: Option<Pid>,
    ring: PathBuf,
    pin: PathBuf,
    _bpffs: Bpffs,
}

impl Pipeline {
    /// Starts `kcheck && guesser | conntrack … & gwlookup` and waits until conntrack is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn start(conntrack_flags: &str) -> Self {
        let name = unique();
        let directory = TempDir::new().expect("a new directory");
        let ready = directory.path().join("ready");
        mkfifo(&ready, Mode::S_IRUSR | Mode::S_IWUSR).expect("a new fifo");
        let bpffs = Bpffs::mount();
        let pin = bpffs.join("sextant");

        let mut path = OsString::from(build_folder());
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        // The whole group has the fifo open, so its reader sees the end if any of them fails.
        let line = format!(
            "{{ kcheck >/dev/null && guesser | conntrack --ready-fd 3 {conntrack_flags}; }} 3>{ready} &
             gwlookup -o json",
            ready = ready.display()
        );
        let mut command = Command::new("sh");
        command
            .args(["-c", &line])
            .env("PATH", path)
            .env("SEXTANT_RING", &name)
            .env("SEXTANT_CONNTRACK_PIN", &pin)
            .stdin(Stdio::null())
            .process_group(0);
        let shell = Running::start(&mut command);
        let pipeline = Self {
            group: Some(shell.pid()),
            shell: Records::of(shell),
            ring: Path::new("/dev/shm").join(name),
            pin,
            _bpffs: bpffs,
        };
        let mut reader = Running::start(Command::new("cat").arg(&ready));
        let line = reader.line_within(PATIENCE);
        assert_eq!(
            line.as_deref(),
            Some("\n"),
            "conntrack did not become ready"
        );
        pipeline
    }

    /// The first record that fits, among those that came and those that come in time.
    ///
    /// # Panics
    /// If none comes; the message has those that did.
    pub fn record(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.shell.wait_for(what, 1, &fits);
        let found = self.shell.seen.iter().find(|record| fits(record));
        found.expect("it has come").clone()
    }

    /// A command that asks the running conntrack for a translation.
    #[must_use]
    pub fn get(&self, what: &str) -> Command {
        let mut command = Command::new(built("conntrack"));
        command
            .args(["--get", what])
            .env("SEXTANT_CONNTRACK_PIN", &self.pin);
        command
    }

    /// Ends conntrack by SIGTERM and gives all records, once gwlookup has ended in order too.
    ///
    /// # Panics
    /// If anything fails or is left behind.
    #[must_use]
    pub fn end(mut self) -> Vec<Value> {
        let pid = self.conntrack_pid().expect("conntrack writes the ring");
        kill(pid, Signal::SIGTERM).expect("conntrack lives");
        let status = self.shell.running.wait();
        self.shell.settle(Duration::from_secs(10));
        let said = self.shell.running.said();
        assert!(status.success(), "gwlookup: {status}: {said}");
        assert!(!self.ring.exists(), "the ring is left behind");
        assert!(!self.pin.exists(), "pins are left behind");
        self.group = None;
        std::mem::take(&mut self.shell.seen)
    }

    /// The header of the ring names its writer: upper half of the word at 32.
    fn conntrack_pid(&self) -> Option<Pid> {
        let header = fs::read(&self.ring).ok()?;
        let pid = header.get(36..40)?.try_into().ok()?;
        Some(Pid::from_raw(i32::from_ne_bytes(pid)))
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            let _ = killpg(group, Signal::SIGKILL);
            // There only if it was killed.
            let _ = fs::remove_file(&self.ring);
        }
    }
}
