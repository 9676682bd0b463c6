//! The four programs as a user composes them, in a shell, with a ring and pins of their own; and
//! the records that come out at the end, as they come.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::io;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Instant;

use nix::fcntl::OFlag;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::sys::signal::killpg;
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use serde_json::Value;

use crate::lab::Bpffs;
use crate::lab::unique;
use crate::program;
use crate::program::PATIENCE;
use crate::program::Running;
use crate::program::run;

/// A pipeline that runs.
pub struct Pipeline {
    shell: Running,
    /// The shell and all that it started; absent once they have ended.
    group: Option<Pid>,
    records: Receiver<Value>,
    seen: Vec<Value>,
    directory: PathBuf,
    ring: String,
    bpffs: Bpffs,
}

impl Pipeline {
    /// Starts `kcheck && guesser | conntrack … & gwlookup` and waits until conntrack is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn start(conntrack_flags: &str) -> Self {
        let name = unique();
        let directory = env::temp_dir().join(format!("{name}.run"));
        fs::create_dir(&directory).expect("a new directory");
        let ready = directory.join("ready");
        nix::unistd::mkfifo(&ready, Mode::S_IRUSR | Mode::S_IWUSR).expect("a new fifo");
        let bpffs = Bpffs::mount();

        let mut path = OsString::from(program::directory());
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        // The whole group has the fifo open, so that its reader hears the end of whatever fails.
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
            .env("SEXTANT_CONNTRACK_PIN", bpffs.join("sextant"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0);
        let mut shell = Running::start(&mut command);
        let out = shell.output().expect("its output is piped");
        let (sender, records) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let record = serde_json::from_str(&line)
                    .unwrap_or_else(|error| panic!("not a record: {error}: {line}"));
                if sender.send(record).is_err() {
                    return;
                }
            }
        });

        let pipeline = Self {
            group: Some(shell.pid()),
            shell,
            records,
            seen: Vec::new(),
            directory,
            ring: name,
            bpffs,
        };
        let is_ready = says_a_line(&ready).expect("a fifo");
        assert!(is_ready, "conntrack did not become ready");
        pipeline
    }

    /// The first record that fits, among those that came and those that come in time.
    ///
    /// # Panics
    /// If none comes; the message has those that did.
    pub fn record(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(found) = self.seen.iter().find(|record| fits(record)) {
            return found.clone();
        }
        let start = Instant::now();
        while let Some(left) = PATIENCE.checked_sub(start.elapsed()) {
            let Ok(record) = self.records.recv_timeout(left) else {
                break;
            };
            self.seen.push(record.clone());
            if fits(&record) {
                return record;
            }
        }
        let last: Vec<String> = self
            .seen
            .iter()
            .rev()
            .take(5)
            .map(Value::to_string)
            .collect();
        panic!(
            "no {what} among {} records, the last {last:#?}",
            self.seen.len()
        );
    }

    /// A command that asks the running conntrack for a translation.
    #[must_use]
    pub fn get(&self, what: &str) -> Command {
        let mut command = Command::new(program::path("conntrack"));
        command
            .args(["--get", what])
            .env("SEXTANT_CONNTRACK_PIN", self.bpffs.join("sextant"));
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
        let status = self.shell.wait();
        assert!(status.success(), "gwlookup: {status}");
        self.seen.extend(self.records.iter());
        assert!(!self.ring_file().exists(), "the ring is left behind");
        assert!(!self.bpffs.join("sextant").exists(), "pins are left behind");
        self.group = None;
        std::mem::take(&mut self.seen)
    }

    fn ring_file(&self) -> PathBuf {
        PathBuf::from("/dev/shm").join(&self.ring)
    }

    /// The header of the ring says who writes it: upper half of the word at 32.
    fn conntrack_pid(&self) -> Option<Pid> {
        let header = fs::read(self.ring_file()).ok()?;
        let pid = header.get(36..40)?.try_into().ok()?;
        Some(Pid::from_raw(i32::from_ne_bytes(pid)))
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            let _ = killpg(group, Signal::SIGKILL);
            // Only if it was killed.
            let _ = fs::remove_file(self.ring_file());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Waits for the line that a program writes when it is ready; false if it ends without, or takes too long.
fn says_a_line(fifo: &Path) -> io::Result<bool> {
    // Opened at once, though nobody may ever write to it.
    let mut fifo = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(fifo)?;
    let timeout = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
    let mut speaks = [PollFd::new(fifo.as_fd(), PollFlags::POLLIN)];
    if poll(&mut speaks, timeout)? == 0 {
        return Ok(false);
    }
    let mut said = [0];
    Ok(fifo.read(&mut said)? == 1 && said == *b"\n")
}

/// Runs a command of the workspace that must answer, and gives its one JSON value.
///
/// # Panics
/// If it fails or prints something else.
pub fn answer(command: &mut Command) -> Value {
    serde_json::from_str(&run(command)).expect("one JSON value")
}
