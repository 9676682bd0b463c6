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
    /// The program that ends one that a dump no longer has; likewise, and not pinned.
    pub(super) end_gone: Option<OwnedFd>,
    /// Connections that were counted for want of room; not pinned.
    pub(super) overflow: Option<MapHandle>,
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
        let Some(program) = &self.check else {
            return Ok(Present::Unknown);
        };
        let mut request = [0; size_of::<types::check_request>()];
        put(
            &mut request,
            offset_of!(types::check_request, key),
            key.bytes(),
        );
        let is_v6 = u64::from(key.is_v6()).to_ne_bytes();
        put(
            &mut request,
            offset_of!(types::check_request, is_v6),
            &is_v6,
        );
        let found = program_fd::run(program.as_fd(), &request);
        Ok(present(found.context("ask for the state of a connection")?))
    }

    /// Reports the end of the connection with this id, which came from a dump and is in a later one no more,
    /// and removes its entry. If an `nf_conn` has become known for it, that knows better, unless the dump
    /// had another connection with its tuple.
    ///
    /// # Errors
    /// If the kernel refuses to run the program.
    pub fn end_gone(&self, key: &Key, id: u64, is_replaced: bool) -> anyhow::Result<Present> {
        let Some(program) = &self.end_gone else {
            return Ok(Present::Unknown);
        };
        let mut request = [0; size_of::<types::gone_request>()];
        put(
            &mut request,
            offset_of!(types::gone_request, key),
            key.bytes(),
        );
        for (at, value) in [
            (offset_of!(types::gone_request, is_v6), key.is_v6().into()),
            (offset_of!(types::gone_request, id), id),
            (
                offset_of!(types::gone_request, is_replaced),
                is_replaced.into(),
            ),
        ] {
            let value: u64 = value;
            put(&mut request, at, &value.to_ne_bytes());
        }
        let found = program_fd::run(program.as_fd(), &request);
        Ok(present(found.context("report the end of a connection")?))
    }

    /// Notes that a connection of a dump was counted for want of room, so that its packets do not count
    /// again.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn note_counted(&self, key: &Key, entry: &Entry) -> anyhow::Result<()> {
        let digest = entry.digest(key).to_ne_bytes();
        let mut counted = [0; size_of::<types::counted>()];
        let status = entry.status().to_ne_bytes();
        put(&mut counted, offset_of!(types::counted, status), &status);
        let noted = self.overflow.as_ref();
        let noted = noted.map(|map| map.update(&digest, &counted, MapFlags::ANY));
        noted
            .transpose()
            .context("note a connection that found no room")?;
        Ok(())
    }

    fn map(&self, is_v6: bool) -> &MapHandle {
        &self.maps[usize::from(is_v6)]
    }
}

fn put(request: &mut [u8], at: usize, bytes: &[u8]) {
    request[at..at + bytes.len()].copy_from_slice(bytes);
}

fn present(found: u32) -> Present {
    match types::checked(found) {
        types::checked::CHECKED_ALIVE => Present::Alive,
        types::checked::CHECKED_NONE | types::checked::CHECKED_ENDED => Present::Ended,
        types::checked::CHECKED_STUCK => Present::Stuck,
        _ => Present::Unknown,
    }
}
