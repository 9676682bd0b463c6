//! One `conntrack` that runs alone, its records read from its standard output as they come.

use std::fs;
use std::ops::Deref;
use std::ops::DerefMut;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use harness::Bpffs;
use harness::Running;
use harness::built;
use harness::in_namespace;
use harness::run;
use harness::unique;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::records::Records;

/// A running conntrack.
pub struct Watch {
    records: Records,
    ring: PathBuf,
    pin: PathBuf,
    _bpffs: Bpffs,
}

/// How it ended.
pub struct Ended {
    /// Exit code.
    pub code: i32,
    /// All of its records.
    pub records: Vec<Value>,
    /// All of its standard error.
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
        let pin = bpffs.join(&name);
        let offsets = NamedTempFile::new().expect("a new file");
        let mut guesser = Command::new(built("guesser"));
        let _ = run(guesser.arg("-o").arg(offsets.path())).success();
        let mut command = match namespace {
            Some(namespace) => in_namespace(namespace, "sh"),
            None => Command::new("sh"),
        };
        // It says that it is ready by an empty line among its records.
        command
            .args(["-c", "exec \"$@\" --ready-fd 3 3>&1", "sh"])
            .arg(built("conntrack"))
            .args(["-o", "json", "--ring", &name, "--offsets"])
            .arg(offsets.path())
            .arg("--pin")
            .arg(&pin)
            .args(flags)
            .stdin(Stdio::null());
        let mut watch = Self {
            records: Records::of(Running::start(&mut command)),
            ring: Path::new("/dev/shm").join(name),
            pin,
            _bpffs: bpffs,
        };
        watch.wait_until_ready();
        watch
    }

    /// Where it pins its table.
    #[must_use]
    pub fn pin(&self) -> &Path {
        &self.pin
    }

    /// The file of its ring.
    #[must_use]
    pub fn ring(&self) -> &Path {
        &self.ring
    }

    /// Ends it by SIGTERM.
    ///
    /// # Panics
    /// If it does not end, or leaves something behind.
    #[must_use]
    pub fn end(mut self) -> Ended {
        self.running.signal(Signal::SIGTERM);
        let status = self.running.wait();
        self.settle(Duration::from_secs(10));
        let stderr = self.running.said();
        assert!(!self.ring.exists(), "the ring is left behind: {stderr}");
        assert!(!self.pin.exists(), "pins are left behind");
        Ended {
            code: status.code().expect("an exit code"),
            records: std::mem::take(&mut self.seen),
            stderr,
        }
    }
}

impl Deref for Watch {
    type Target = Records;

    fn deref(&self) -> &Records {
        &self.records
    }
}

impl DerefMut for Watch {
    fn deref_mut(&mut self) -> &mut Records {
        &mut self.records
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.running.kill();
        // There only if it was killed.
        let _ = fs::remove_file(&self.ring);
    }
}
