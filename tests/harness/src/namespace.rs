//! Named network namespaces, as iproute2 makes them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::thread;

use crate::run;
use crate::unique;

/// A named network namespace, deleted when this is dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one.
    ///
    /// # Panics
    /// If that fails; most likely this is not root.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it changes the machine")]
    pub fn new() -> Self {
        let name = unique();
        ip(&["netns", "add", &name]);
        Self { name }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that names it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// Its inode.
    ///
    /// # Panics
    /// If it is gone.
    #[must_use]
    pub fn inum(&self) -> u32 {
        inode(&self.name)
    }

    /// `ip` in it, with these words; what it printed.
    ///
    /// # Panics
    /// If `ip` fails.
    pub fn ip(&self, words: &str) -> String {
        let mut args = vec!["-n", self.name.as_str()];
        args.extend(words.split_whitespace());
        ip(&args)
    }

    /// Sets a file of `/proc/sys` in it.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn write(&self, file: &str, value: &str) {
        let script = format!("echo {value} >/proc/sys/{file}");
        let _ = run(in_namespace(&self.name, "sh").args(["-c", &script])).success();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let mut delete = Command::new("ip");
        let output = delete.args(["netns", "delete", &self.name]).output();
        let is_deleted = output.is_ok_and(|output| output.status.success());
        assert!(is_deleted || thread::panicking(), "{} stays", self.name);
    }
}

/// Runs `ip`; what it printed.
///
/// # Panics
/// If it fails.
pub fn ip(args: &[&str]) -> String {
    run(Command::new("ip").args(args)).success()
}

/// `ip netns exec NAMESPACE PROGRAM`.
#[must_use]
pub fn in_namespace(namespace: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// The inode of a named namespace.
///
/// # Panics
/// If it is gone.
#[must_use]
pub fn inode(namespace: &str) -> u32 {
    let file = format!("/run/netns/{namespace}");
    fs::metadata(file).expect("the namespace is there").ino() as u32
}
