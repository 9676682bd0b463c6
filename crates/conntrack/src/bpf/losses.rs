//! The programs' loss counters.

use anyhow::Context as _;
use libbpf_rs::MapCore as _;
use libbpf_rs::MapFlags;
use libbpf_rs::MapHandle;
use shared::record::wire::Loss;

/// An open map of counters.
pub struct Losses {
    map: MapHandle,
}

impl Losses {
    pub(super) fn new(map: MapHandle) -> Self {
        Self { map }
    }

    /// Events lost so far at one place, over all CPUs.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn total(&self, place: Loss) -> anyhow::Result<u64> {
        let key = u32::from(place as u8).to_ne_bytes();
        let per_cpu = self
            .map
            .lookup_percpu(&key, MapFlags::ANY)
            .context("read the loss counters")?
            .unwrap_or_default();
        Ok(per_cpu
            .iter()
            .filter_map(|bytes| bytes.first_chunk())
            .map(|bytes| u64::from_ne_bytes(*bytes))
            .sum())
    }
}
