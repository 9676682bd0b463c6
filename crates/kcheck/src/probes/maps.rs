//! Maps, made and used by bpf(2) alone.

use std::os::fd::AsFd as _;

use libbpf_rs::MapCore as _;
use libbpf_rs::MapFlags;
use libbpf_rs::MapHandle;
use libbpf_rs::MapType;
use libbpf_rs::libbpf_sys::BPF_F_MMAPABLE;
use libbpf_rs::libbpf_sys::bpf_map_create_opts;

use crate::bpf::mapped;
use crate::errno::KernelErrno;
use crate::probe::Attempt;
use crate::probe::Obstacle;

use super::token::Token;

/// Does bpf(2) exist, and does it work for us?
pub fn array() -> Attempt {
    make_array("BPF_MAP_CREATE")?;
    Ok("made an array map".into())
}

/// Makes an array map and lets it go.
pub fn make_array(step: &str) -> Result<(), Obstacle> {
    make(MapType::Array, size_of::<u32>(), 0)
        .map(drop)
        .map_err(|error| Obstacle::libbpf(step, &error))
}

/// Does a mapping show what was stored by bpf(2)?
pub fn mmapable(token: &Token) -> Attempt {
    let map = make(MapType::Array, size_of::<u32>(), BPF_F_MMAPABLE)
        .map_err(|error| Obstacle::libbpf("BPF_MAP_CREATE with BPF_F_MMAPABLE", &error))?;
    store(&map, &0_u32.to_ne_bytes(), token)?;
    let word = mapped::first_word(map.as_fd())
        .map_err(|error| Obstacle::refused("mmap of the map", KernelErrno::of_io(&error)))?;
    if word == token.number() {
        Ok("a stored value shows in the mapping".into())
    } else {
        Err(Obstacle::absent(
            "a stored value does not show in the mapping",
        ))
    }
}

/// Does a hash map give back what was stored?
pub fn hash(token: &Token) -> Attempt {
    let map = make(MapType::Hash, size_of::<u64>(), 0)
        .map_err(|error| Obstacle::libbpf("BPF_MAP_CREATE of a hash", &error))?;
    let key = token.number().to_ne_bytes();
    store(&map, &key, token)?;
    let found = map
        .lookup(&key, MapFlags::ANY)
        .map_err(|error| Obstacle::libbpf("BPF_MAP_LOOKUP_ELEM", &error))?;
    if found.is_some_and(|value| value == key) {
        Ok("a stored value is found".into())
    } else {
        Err(Obstacle::absent("a stored value is not found"))
    }
}

fn make(kind: MapType, key_bytes: usize, map_flags: u32) -> libbpf_rs::Result<MapHandle> {
    let options = bpf_map_create_opts {
        sz: size_of::<bpf_map_create_opts>() as libbpf_rs::libbpf_sys::size_t,
        map_flags,
        ..bpf_map_create_opts::default()
    };
    let value_bytes = size_of::<u64>() as u32;
    MapHandle::create(
        kind,
        Some("kcheck_map"),
        key_bytes as u32,
        value_bytes,
        1,
        &options,
    )
}

fn store(map: &MapHandle, key: &[u8], token: &Token) -> Result<(), Obstacle> {
    map.update(key, &token.number().to_ne_bytes(), MapFlags::ANY)
        .map_err(|error| Obstacle::libbpf("BPF_MAP_UPDATE_ELEM", &error))
}
