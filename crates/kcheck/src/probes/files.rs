//! The file systems for pinned maps and for the ring.

use std::fs::File;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;

use memmap2::MmapOptions;
use nix::fcntl::OFlag;
use nix::fcntl::posix_fallocate;
use nix::sys::statfs::BPF_FS_MAGIC;
use nix::sys::statfs::statfs;
use nix::unistd::AccessFlags;
use nix::unistd::access;

use crate::probe::Attempt;
use crate::probe::During as _;
use crate::probe::Obstacle;

const BPFFS: &str = "/sys/fs/bpf";
const SHM: &str = "/dev/shm";

/// Is it mounted where everybody expects it, and may we write to it? Nothing is pinned to find out,
/// because a pin outlives its process.
pub fn bpffs() -> Attempt {
    let mounted = statfs(BPFFS).during(format!("statfs of {BPFFS}"))?;
    if mounted.filesystem_type() != BPF_FS_MAGIC {
        let absent = format!("no BPF file system is mounted at {BPFFS}");
        return Err(Obstacle::absent(absent));
    }
    access(BPFFS, AccessFlags::W_OK | AccessFlags::X_OK).during(format!("writing to {BPFFS}"))?;
    Ok(format!("mounted at {BPFFS}"))
}

/// Can a ring lie there? The file has no name, so it is gone however this process ends.
pub fn shm() -> Attempt {
    const BYTES: usize = 4096;
    let step = |step| format!("{step} a file in {SHM}");
    let file: File = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_TMPFILE.bits())
        .mode(0o600)
        .open(SHM)
        .during(step("making"))?;
    posix_fallocate(&file, 0, BYTES as _).during(step("allocating"))?;
    let map = MmapOptions::new().len(BYTES).map_raw(&file);
    map.during(step("mapping"))?;
    Ok(format!("a file in {SHM} can be made, allocated and mapped"))
}
