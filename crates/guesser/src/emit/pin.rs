//! The document in a pinned BPF map: an array of one value, exactly as long as the document.

use std::io;
use std::path::Path;

use anyhow::bail;
use libbpf_rs::Error;
use libbpf_rs::ErrorKind;
use libbpf_rs::MapCore as _;
use libbpf_rs::MapFlags;
use libbpf_rs::MapHandle;
use libbpf_rs::MapType;
use libbpf_rs::libbpf_sys::bpf_map_create_opts;
use nix::sys::statfs::BPF_FS_MAGIC;
use nix::sys::statfs::statfs;
use shared::atomic_file::parent;
use shared::atomic_file::prefix;
use shared::exit::Failure;
use tempfile::Builder;

/// The map's name in the kernel; 15 characters at most.
const MAP_NAME: &str = "sextant_offsets";

/// Refuses a path where nothing can be pinned.
///
/// # Errors
/// If its folder does not exist or is on another file system.
pub fn check(path: &Path) -> anyhow::Result<()> {
    let parent = parent(path);
    if statfs(parent)?.filesystem_type() != BPF_FS_MAGIC {
        let parent = parent.display();
        bail!("{parent} is not on a bpffs; mount one there: mount -t bpf bpf DIR");
    }
    Ok(())
}

/// Pins a map that holds these bytes, and replaces what was pinned there.
///
/// # Errors
/// If the kernel refuses the map or the pin.
pub fn pin(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let opts = bpf_map_create_opts {
        sz: size_of::<bpf_map_create_opts>() as _,
        ..Default::default()
    };
    let value_bytes = bytes.len() as u32;
    let mut map = MapHandle::create(MapType::Array, Some(MAP_NAME), 4, value_bytes, 1, &opts)
        .map_err(refused)?;
    map.update(&0u32.to_ne_bytes(), bytes, MapFlags::ANY)?;
    let pin = |beside: &Path| map.pin(beside).map_err(io::Error::other);
    let beside = Builder::new()
        .prefix(&prefix(path))
        .make_in(parent(path), pin)?;
    let placed = beside.into_temp_path().persist(path);
    Ok(placed.map_err(|failed| failed.error)?)
}

/// Distinguishes a missing privilege from a kernel that cannot do it.
fn refused(error: Error) -> anyhow::Error {
    let what = "create the map";
    let failure = match error.kind() {
        ErrorKind::PermissionDenied => Failure::Privilege(format!("{what}: bpf() is refused")),
        ErrorKind::OutOfMemory => Failure::Failed(what.to_owned()),
        _ => Failure::Kernel(what.to_owned()),
    };
    anyhow::Error::new(error).context(failure)
}
