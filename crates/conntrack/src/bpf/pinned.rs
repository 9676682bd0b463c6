//! Maps in a bpffs: the NAT table that `--get` reads, and the offsets document that `guesser --pin`
//! left there.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use libbpf_rs::MapCore as _;
use libbpf_rs::MapFlags;
use libbpf_rs::MapHandle;
use libbpf_rs::Program;

use super::program_fd;
use super::table::FlowTable;

const MAPS: [&str; 2] = ["flows4", "flows6"];
const CHECK: &str = "check";

/// Pins a table in a directory. It replaces one that a killed process left there.
///
/// # Errors
/// If the kernel refuses.
pub fn pin_table(table: &mut FlowTable, dir: &Path) -> anyhow::Result<()> {
    remove_table(dir)?;
    for (map, name) in table.maps.iter_mut().zip(MAPS) {
        let path = dir.join(name);
        map.pin(&path)
            .with_context(|| format!("pin {}", path.display()))?;
    }
    if let Some(check) = &table.check {
        let path = dir.join(CHECK);
        program_fd::pin(check.as_fd(), &path).with_context(|| format!("pin {}", path.display()))?;
    }
    Ok(())
}

/// Removes a pinned table; `true` if there was one.
///
/// # Errors
/// If a file is there and cannot be removed.
pub fn remove_table(dir: &Path) -> anyhow::Result<bool> {
    let mut any = false;
    for name in MAPS.into_iter().chain([CHECK]) {
        let path = dir.join(name);
        match fs::remove_file(&path) {
            Ok(()) => any = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("remove {}", path.display())),
        }
    }
    Ok(any)
}

/// Opens a pinned table.
///
/// # Errors
/// If there is none, or it may not be opened.
pub fn open_table(dir: &Path) -> anyhow::Result<FlowTable> {
    let [v4, v6] = MAPS.map(|name| {
        let path = dir.join(name);
        MapHandle::from_pinned_path(&path).with_context(|| format!("open {}", path.display()))
    });
    let path = dir.join(CHECK);
    let check = path.exists().then(|| {
        Program::fd_from_pinned_path(&path).with_context(|| format!("open {}", path.display()))
    });
    Ok(FlowTable {
        maps: [v4?, v6?],
        check: check.transpose()?,
        end_gone: None,
        overflow: None,
    })
}

/// The first value of a pinned map: a document and the padding behind it.
///
/// # Errors
/// If there is no such map.
pub fn read_document(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    let map = MapHandle::from_pinned_path(path)?;
    let key = 0_u32.to_ne_bytes();
    map.lookup(&key, MapFlags::ANY)?.context("the map is empty")
}
