//! The laboratory of `tests/scenes/lab.sh` as a value: up while it lives, gone when it is dropped.
//! Also a private bpffs for pins. Each test has its own; tests can run side by side.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use nix::mount::MntFlags;
use nix::mount::MsFlags;

use crate::program::Running;
use crate::program::in_namespace;
use crate::program::path;
use crate::program::run;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A word that no other test of this machine uses.
#[must_use]
pub fn unique() -> String {
    format!(
        "sx{}x{}",
        std::process::id(),
        NUMBER.fetch_add(1, Ordering::Relaxed)
    )
}

/// Client, router and server.
pub struct Lab {
    prefix: String,
}

impl Lab {
    /// Builds the laboratory.
    ///
    /// # Panics
    /// If that fails; most likely the test does not run as root.
    #[must_use]
    pub fn up() -> Self {
        let lab = Self { prefix: unique() };
        run(&mut script("up", &lab.prefix));
        lab
    }

    /// Name of one of its namespaces: `client`, `router`, `server`.
    #[must_use]
    pub fn namespace(&self, role: &str) -> String {
        format!("{}-{role}", self.prefix)
    }

    /// Inode of that namespace.
    ///
    /// # Panics
    /// If the namespace is gone.
    #[must_use]
    pub fn inode(&self, role: &str) -> u32 {
        let file = format!("/run/netns/{}", self.namespace(role));
        fs::metadata(file).expect("the namespace is there").ino() as u32
    }

    /// The server's echoes, for both address families and protocols.
    #[must_use]
    pub fn serve(&self) -> Running {
        let mut command = in_namespace(&self.namespace("server"), path("traffic"));
        command.args([
            "serve",
            "tcp:10.77.3.2:8080",
            "udp:10.77.3.2:5353",
            "tcp:[fd77:3::2]:8080",
            "udp:[fd77:3::2]:5353",
        ]);
        Running::start_ready(&mut command)
    }

    /// Calls an end from the client; gives the client's own address and port.
    ///
    /// # Panics
    /// If the call is not answered.
    #[must_use]
    pub fn call(&self, end: &str) -> String {
        let said =
            run(in_namespace(&self.namespace("client"), path("traffic")).args(["call", end]));
        said.split(' ')
            .nth(1)
            .expect("traffic says who called")
            .to_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = script("down", &self.prefix).status();
    }
}

fn script(verb: &str, prefix: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenes/lab.sh"))
        .args([verb, prefix]);
    command
}

/// A bpffs of its own, mounted on a temporary directory.
pub struct Bpffs(PathBuf);

impl Bpffs {
    /// Mounts it.
    ///
    /// # Panics
    /// If the system refuses.
    #[must_use]
    pub fn mount() -> Self {
        let directory = std::env::temp_dir().join(unique());
        fs::create_dir(&directory).expect("a new directory");
        let bpf = Some("bpf");
        nix::mount::mount(bpf, &directory, bpf, MsFlags::empty(), None::<&str>)
            .expect("root can mount bpffs");
        Self(directory)
    }

    /// A path in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}
