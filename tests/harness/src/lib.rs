//! Runs programs as black boxes, for the tests of every crate: processes with deadlines, what they
//! print, named network namespaces, what conntrack-tools see. Depends on no crate under test.
//!
//! A failure panics, as an assertion does. Whatever a value here made goes when it is dropped.

pub mod conntrack_tools;
mod files;
mod namespace;
mod process;
mod run;

use std::env;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

pub use files::Bpffs;
pub use files::PublicCopy;
pub use namespace::Namespace;
pub use namespace::in_namespace;
pub use namespace::inode;
pub use namespace::ip;
use nix::unistd::geteuid;
pub use process::Process;
pub use run::Finished;
pub use run::Running;
pub use run::run;
pub use run::run_with_input;

/// Longest wait for anything: only what hangs takes longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the condition holds.
///
/// # Panics
/// If it does not within [`PATIENCE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    let mut pause = Duration::from_micros(20);
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_micros(500));
    }
}

/// Fails without root, rather than pass without having tested anything.
///
/// # Panics
/// If this is not root.
pub fn need_root() {
    assert!(geteuid().is_root(), "run this test as root");
}

/// A name that no other test of this machine uses, short enough for an interface.
#[must_use]
pub fn unique() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("sx{}x{number}", std::process::id())
}

/// The folder that cargo builds this test's profile into, with the programs of the workspace; or the folder of this
/// program, if it is no test.
///
/// # Panics
/// If this has no path.
#[must_use]
pub fn build_folder() -> PathBuf {
    let this = env::current_exe().expect("a test has a path");
    let folder = this.parent().expect("a program lies in a folder");
    let is_test = folder.file_name().is_some_and(|name| name == "deps");
    let profile = if is_test {
        folder.parent()
    } else {
        Some(folder)
    };
    profile.expect("tests lie in target/PROFILE/deps").into()
}

/// A program of the workspace, by name. Where `CARGO_BIN_EXE_name` exists, that is better: cargo then
/// has built it.
///
/// # Panics
/// If it is not built.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    let path = build_folder().join(name);
    let shown = path.display();
    assert!(path.is_file(), "no {shown}: run cargo build --workspace");
    path
}
