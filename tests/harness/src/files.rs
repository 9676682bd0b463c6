//! Places in the file system that a test needs for itself: a bpffs, and a program that everyone may run.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use nix::mount::MntFlags;
use nix::mount::MsFlags;
use nix::mount::mount;
use nix::mount::umount2;
use tempfile::TempDir;

use crate::need_root;
use crate::run;
use crate::unique;

/// A bpffs, mounted on a temporary folder.
#[derive(Debug)]
pub struct Bpffs(PathBuf);

impl Bpffs {
    /// Mounts it.
    ///
    /// # Panics
    /// If the system refuses.
    #[must_use]
    pub fn mount() -> Self {
        let folder = env::temp_dir().join(unique());
        fs::create_dir(&folder).expect("a new folder");
        let bpf = Some("bpf");
        mount(bpf, &folder, bpf, MsFlags::empty(), None::<&str>).expect("root can mount bpffs");
        Self(folder)
    }

    /// A path in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The names in it.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn pins(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("a bpffs").flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        // The kernel's own, for the first bpffs after boot.
        names.filter(|name| !name.ends_with(".debug")).collect()
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}

/// A copy of a program in a folder where users without privileges can run it.
#[derive(Debug)]
pub struct PublicCopy {
    folder: TempDir,
    program: PathBuf,
}

impl PublicCopy {
    /// Copies a program.
    ///
    /// # Panics
    /// If that fails, or this is not root.
    #[must_use]
    pub fn of(program: &str) -> Self {
        need_root();
        let folder = tempfile::tempdir_in("/tmp").expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("our folder");
        let name = Path::new(program).file_name().expect("a program");
        let copy = folder.path().join(name);
        // By another process: what this one still had open for writing when another test forks could
        // not be run (ETXTBSY).
        let mut install = Command::new("install");
        let _ = run(install.args(["-m", "755", program]).arg(&copy)).success();
        let program = copy;
        Self { folder, program }
    }

    /// The folder that it is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command that runs it as nobody, with these capabilities (`bpf`) and no others.
    #[must_use]
    pub fn as_nobody(&self, capabilities: &[&str]) -> Command {
        let plus = capabilities.iter().map(|name| format!(",+{name}"));
        let set = format!("-all{}", plus.collect::<String>());
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        for sets in ["--bounding-set", "--inh-caps", "--ambient-caps"] {
            command.args([sets, &set]);
        }
        command.arg(&self.program);
        command
    }
}
