//! The file systems that maps are pinned in and that the ring lies in.

use std::fs::File;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;

use memmap2::MmapOptions;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::fcntl::posix_fallocate;
use nix::sys::statfs::BPF_FS_MAGIC;
use nix::sys::statfs::statfs;
use nix::unistd::AccessFlags;
use nix::unistd::access;

use crate::errno::KernelErrno;
use crate::probe::Attempt;
use crate::probe::Obstacle;

const BPFFS: &str = "/sys/fs/bpf";
const SHM: &str = "/dev/shm";

/// Is it mounted where everybody expects it, and may we write to it? Pins outlive the process
/// that made them, so none is made just to see.
pub fn bpffs() -> Attempt {
    let refused =
        |step: &str, errno: Errno| Obstacle::refused(format!("{step} {BPFFS}"), Some(errno));
    let mounted = statfs(BPFFS).map_err(|errno| refused("statfs of", errno))?;
    if mounted.filesystem_type() != BPF_FS_MAGIC {
        return Err(Obstacle::absent(format!(
            "no BPF file system is mounted at {BPFFS}"
        )));
    }
    access(BPFFS, AccessFlags::W_OK | AccessFlags::X_OK)
        .map_err(|errno| refused("writing to", errno))?;
    Ok(format!("mounted at {BPFFS}"))
}

/// Can a ring be had there? The file has no name, so it goes however this process ends.
pub fn shm() -> Attempt {
    const BYTES: usize = 4096;
    let refused = |step: &str, errno| Obstacle::refused(format!("{step} in {SHM}"), errno);
    let file: File = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_TMPFILE.bits())
        .mode(0o600)
        .open(SHM)
        .map_err(|error| refused("making a file", KernelErrno::of_io(&error)))?;
    posix_fallocate(&file, 0, BYTES as _)
        .map_err(|errno| refused("allocating a file", Some(errno.into())))?;
    MmapOptions::new()
        .len(BYTES)
        .map_raw(&file)
        .map_err(|error| refused("mapping a file", KernelErrno::of_io(&error)))?;
    Ok(format!("a file in {SHM} can be made, allocated and mapped"))
}
