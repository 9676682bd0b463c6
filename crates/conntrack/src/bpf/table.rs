//! The NAT table's two maps, seen from user space.

use anyhow::Context as _;
use libbpf_rs::ErrorKind;
use libbpf_rs::MapCore as _;
use libbpf_rs::MapFlags;
use libbpf_rs::MapHandle;

use crate::flow_entry::Entry;
use crate::flow_entry::Key;

/// Both maps, open.
pub struct FlowTable {
    /// IPv4's and IPv6's.
    pub(super) maps: [MapHandle; 2],
}

/// The outcome of adding an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It was added.
    Added,
    /// The tuple has an entry already, which is unchanged.
    Present,
    /// The table is full.
    Full,
}

impl FlowTable {
    /// Adds an entry unless its tuple has one.
    ///
    /// # Errors
    /// If the kernel refuses for another reason.
    pub fn add(&self, key: &Key, entry: &Entry) -> anyhow::Result<Put> {
        let added = self
            .map(key.is_v6())
            .update(key.bytes(), entry.bytes(), MapFlags::NO_EXIST);
        match added {
            Ok(()) => Ok(Put::Added),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Put::Present),
            Err(error) if error.kind() == ErrorKind::TooBig => Ok(Put::Full),
            Err(error) => Err(error).context("add an entry to the NAT table"),
        }
    }

    /// The entry of a tuple.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn get(&self, key: &Key) -> anyhow::Result<Option<Entry>> {
        let found = self
            .map(key.is_v6())
            .lookup(key.bytes(), MapFlags::ANY)
            .context("read the NAT table")?;
        Ok(found.and_then(|bytes| Entry::parse(key.is_v6(), &bytes)))
    }

    /// Removes an entry; `false` if there is none.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn remove(&self, key: &Key) -> anyhow::Result<bool> {
        match self.map(key.is_v6()).delete(key.bytes()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).context("remove an entry of the NAT table"),
        }
    }

    /// Every entry of one family. Entries that come or go meanwhile may be missing or come twice.
    pub fn entries(&self, is_v6: bool) -> impl Iterator<Item = (Key, Entry)> + '_ {
        let map = self.map(is_v6);
        map.keys().filter_map(move |bytes| {
            let key = Key::parse(is_v6, &bytes)?;
            let value = map.lookup(&bytes, MapFlags::ANY).ok()??;
            Some((key, Entry::parse(is_v6, &value)?))
        })
    }

    fn map(&self, is_v6: bool) -> &MapHandle {
        &self.maps[usize::from(is_v6)]
    }
}
