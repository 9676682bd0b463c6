//! The NAT table's two maps, seen from user space.

use std::mem::offset_of;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use libbpf_rs::ErrorKind;
use libbpf_rs::MapCore as _;
use libbpf_rs::MapFlags;
use libbpf_rs::MapHandle;

use super::program_fd;
use super::skel::types;
use crate::flow_entry::Entry;
use crate::flow_entry::Key;

/// Entries that one system call reads.
const BATCH: u32 = 4096;

/// Both maps, open.
pub struct FlowTable {
    /// IPv4's and IPv6's.
    pub(super) maps: [MapHandle; 2],
    /// The program that checks one entry; a netlink source has none.
    pub(super) check: Option<OwnedFd>,
}

/// What the kernel says of an entry's connection now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Present {
    /// It lives, and the entry has its status and mark of now.
    Alive,
    /// It has ended, and there is no entry any more.
    Ended,
    /// It has ended, or not been reported yet, and the ring buffer has no room to report that.
    Stuck,
    /// Nothing: the entry is as it was written.
    Unknown,
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
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn entries(&self, is_v6: bool) -> anyhow::Result<impl Iterator<Item = (Key, Entry)> + '_> {
        let batches = self
            .map(is_v6)
            .lookup_batch(BATCH, MapFlags::ANY, MapFlags::ANY)
            .context("read the NAT table")?;
        Ok(batches.filter_map(move |(key, entry)| {
            Some((Key::parse(is_v6, &key)?, Entry::parse(is_v6, &entry)?))
        }))
    }

    /// Brings an entry up to date, and reports what is due of it.
    ///
    /// # Errors
    /// If the kernel refuses to run the program.
    pub fn check(&self, key: &Key) -> anyhow::Result<Present> {
        self.ask(key, 0)
    }

    /// Reports the end of the connection with this id, which came from a dump and is in a later one no more,
    /// and removes its entry, unless an `nf_conn` has become known for it: then the sweep knows better.
    ///
    /// # Errors
    /// If the kernel refuses to run the program.
    pub fn end_gone(&self, key: &Key, id: u64) -> anyhow::Result<Present> {
        self.ask(key, id)
    }

    fn ask(&self, key: &Key, gone_id: u64) -> anyhow::Result<Present> {
        let Some(program) = &self.check else {
            return Ok(Present::Unknown);
        };
        let mut request = [0; size_of::<types::check_request>()];
        let mut put = |at: usize, bytes: &[u8]| {
            request[at..at + bytes.len()].copy_from_slice(bytes);
        };
        let is_v6 = u64::from(key.is_v6());
        put(offset_of!(types::check_request, key), key.bytes());
        put(
            offset_of!(types::check_request, is_v6),
            &is_v6.to_ne_bytes(),
        );
        put(
            offset_of!(types::check_request, gone_id),
            &gone_id.to_ne_bytes(),
        );
        let found = program_fd::run(program.as_fd(), &request)
            .context("ask for the state of a connection")?;
        Ok(match types::checked(found) {
            types::checked::CHECKED_ALIVE => Present::Alive,
            types::checked::CHECKED_NONE | types::checked::CHECKED_ENDED => Present::Ended,
            types::checked::CHECKED_STUCK => Present::Stuck,
            _ => Present::Unknown,
        })
    }

    fn map(&self, is_v6: bool) -> &MapHandle {
        &self.maps[usize::from(is_v6)]
    }
}
