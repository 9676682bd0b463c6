//! Maps, created and used by bpf(2) alone.

use std::os::fd::AsFd as _;

use libbpf_rs::MapCore as _;
use libbpf_rs::MapFlags;
use libbpf_rs::MapHandle;
use libbpf_rs::MapType;
use libbpf_rs::libbpf_sys::BPF_F_MMAPABLE;
use libbpf_rs::libbpf_sys::bpf_map_create_opts;

use crate::bpf::mapped;
use crate::probe::Attempt;
use crate::probe::During as _;
use crate::probe::Obstacle;
use crate::probe::answer;

use super::token::Token;

/// Does bpf(2) exist, and does it work for us?
pub fn array() -> Attempt {
    make_array("BPF_MAP_CREATE")?;
    Ok("created an array map".into())
}

/// Creates an array map and closes it.
pub fn make_array(step: &str) -> Result<(), Obstacle> {
    make(MapType::Array, size_of::<u32>(), 0, step).map(drop)
}

/// Does a mapping show what was stored by bpf(2)?
pub fn mmapable(token: &Token) -> Attempt {
    let step = "BPF_MAP_CREATE with BPF_F_MMAPABLE";
    let map = make(MapType::Array, size_of::<u32>(), BPF_F_MMAPABLE, step)?;
    store(&map, &0_u32.to_ne_bytes(), token)?;
    answer(
        mapped::first_word(map.as_fd()).during("mmap of the map")? == token.number(),
        "the mapping shows a stored value",
        "the mapping does not show a stored value",
    )
}

/// Does a hash map return what was stored?
pub fn hash(token: &Token) -> Attempt {
    let map = make(
        MapType::Hash,
        size_of::<u64>(),
        0,
        "BPF_MAP_CREATE of a hash",
    )?;
    let key = token.number().to_ne_bytes();
    store(&map, &key, token)?;
    let found = map
        .lookup(&key, MapFlags::ANY)
        .during("BPF_MAP_LOOKUP_ELEM")?;
    answer(
        found.is_some_and(|value| value == key),
        "a stored value is found",
        "a stored value is not found",
    )
}

fn make(
    kind: MapType,
    key_bytes: usize,
    map_flags: u32,
    step: &str,
) -> Result<MapHandle, Obstacle> {
    let options = bpf_map_create_opts {
        sz: size_of::<bpf_map_create_opts>() as libbpf_rs::libbpf_sys::size_t,
        map_flags,
        ..bpf_map_create_opts::default()
    };
    let (key_bytes, value_bytes) = (key_bytes as u32, size_of::<u64>() as u32);
    MapHandle::create(
        kind,
        Some("kcheck_map"),
        key_bytes,
        value_bytes,
        1,
        &options,
    )
    .during(step)
}

fn store(map: &MapHandle, key: &[u8], token: &Token) -> Result<(), Obstacle> {
    map.update(key, &token.number().to_ne_bytes(), MapFlags::ANY)
        .during("BPF_MAP_UPDATE_ELEM")
}
