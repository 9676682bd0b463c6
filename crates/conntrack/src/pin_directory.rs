//! The directory of a bpffs in which the table is pinned: one process at a time uses it, and leaves
//! it as it was. `bpf::pinned` pins the maps.

use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::fcntl::Flock;
use nix::fcntl::FlockArg;
use nix::mount::MsFlags;
use nix::mount::mount;
use nix::sys::statfs::BPF_FS_MAGIC;
use nix::sys::statfs::statfs;
use shared::exit::Failure;

use crate::bpf::pinned;
use crate::bpf::table::FlowTable;

const BPFFS: &str = "/sys/fs/bpf";
/// Where the table is pinned by default.
pub const DEFAULT_DIR: &str = "/sys/fs/bpf/sextant";

/// A directory that this process uses until this is dropped.
pub struct PinDirectory {
    dir: PathBuf,
    _lock: Flock<File>,
    is_ours: bool,
}

impl PinDirectory {
    /// Claims the directory, and makes it if its parent is in a bpffs. `None` if none was given and
    /// no bpffs is mounted.
    ///
    /// # Errors
    /// Exit 3 if the given directory is in no bpffs, or another process uses it.
    pub fn claim(asked: Option<&Path>, may_mount: bool) -> anyhow::Result<Option<Self>> {
        let dir = asked.unwrap_or_else(|| Path::new(DEFAULT_DIR));
        if may_mount && dir.starts_with(BPFFS) && !is_bpffs(Path::new(BPFFS)) {
            mount(
                Some("bpf"),
                BPFFS,
                Some("bpf"),
                MsFlags::empty(),
                None::<&str>,
            )
            .with_context(|| format!("mount bpffs on {BPFFS}"))?;
            log::info!("mounted bpffs on {BPFFS}");
        }
        if !dir.parent().is_some_and(is_bpffs) && !is_bpffs(dir) {
            if asked.is_some() {
                let text = format!("pin the table: {} is in no bpffs", dir.display());
                return Err(Failure::Failed(text).into());
            }
            log::info!(
                "the table is not pinned, so --get finds nothing: no bpffs on {BPFFS} \
                 (--allow-system-changes mounts it)"
            );
            return Ok(None);
        }
        Self::lock(dir).map(Some)
    }

    fn lock(dir: &Path) -> anyhow::Result<Self> {
        let shown = dir.display();
        let is_new = match fs::create_dir(dir) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error).with_context(|| format!("make {shown}")),
        };
        let file = File::open(dir).with_context(|| format!("open {shown}"))?;
        let lock = match lock_soon(file) {
            Ok(lock) => lock,
            Err((file, Errno::EWOULDBLOCK)) => {
                let holder = holder(&file).map_or_else(String::new, |pid| format!(" {pid}"));
                let text = format!("pin the table: process{holder} keeps its table in {shown}");
                return Err(Failure::Failed(text).into());
            }
            Err((_, errno)) => return Err(errno).with_context(|| format!("lock {shown}")),
        };
        let had_leftovers = pinned::remove_table(dir)?;
        if had_leftovers {
            log::info!("{shown}: replaced the table of a process that was killed");
        }
        Ok(Self {
            dir: dir.to_owned(),
            _lock: lock,
            is_ours: is_new || had_leftovers,
        })
    }

    /// Pins a table here.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn pin(&self, table: &mut FlowTable) -> anyhow::Result<()> {
        pinned::pin_table(table, &self.dir)
    }
}

impl Drop for PinDirectory {
    fn drop(&mut self) {
        if let Err(error) = pinned::remove_table(&self.dir) {
            log::warn!("{error:#}");
        }
        if self.is_ours {
            // Fails if others have put something into it, which stays.
            let _ = fs::remove_dir(&self.dir);
        }
    }
}

/// Waits a moment for one that only looks, as [`is_kept`] does.
fn lock_soon(mut file: File) -> Result<Flock<File>, (File, Errno)> {
    for _ in 0..10 {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Err((same, Errno::EWOULDBLOCK)) => file = same,
            locked => return locked,
        }
        thread::sleep(Duration::from_millis(1));
    }
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
}

/// Does a process keep its table in this directory now? Its pins outlive one that was killed.
///
/// # Errors
/// If there is no such directory, or it cannot be opened.
pub fn is_kept(dir: &Path) -> io::Result<bool> {
    match Flock::lock(File::open(dir)?, FlockArg::LockSharedNonblock) {
        Ok(_) => Ok(false),
        Err((_, Errno::EWOULDBLOCK)) => Ok(true),
        Err((_, errno)) => Err(errno.into()),
    }
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC)
}

/// The process that holds the lock, if `/proc/locks` shows it.
fn holder(file: &File) -> Option<u32> {
    let inode = file.metadata().ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // 1: FLOCK  ADVISORY  WRITE 4711 00:1c:2345 0 EOF
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let is_flock = words.next() == Some("FLOCK");
        let pid = words.nth(2)?.parse().ok()?;
        let found: u64 = words.next()?.rsplit(':').next()?.parse().ok()?;
        (is_flock && found == inode).then_some(pid)
    })
}
