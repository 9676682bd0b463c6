//! The bench: fake objects in the programs' memory, what a case does with them, and what must hold after every
//! case.

use std::collections::BTreeMap;
use std::fmt::Debug;

use anyhow::bail;
use anyhow::ensure;
use nix::time::ClockId;
use nix::time::clock_gettime;
use shared::record::wire::Loss;
use shared::record::wire::Record;

use crate::bpf::CHECKED_ALIVE;
use crate::bpf::CHECKED_ENDED;
use crate::bpf::CHECKED_STUCK;
use crate::bpf::Object;
use crate::bpf::Swept;
use crate::bpf::constants::Setup;
use crate::bpf::entry::Entry;
use crate::bpf::secrets::hidden;
use crate::fake::Conn;
use crate::fake::Net;

/// Bytes for each fake object: a field of the next one is not taken for a field of this one.
const OBJECT_BYTES: usize = 512;
/// Numbers of the fake objects: two namespaces, a packet, then connections.
const NETS: usize = 0;
const PACKET: usize = 2;
const CONNS: usize = 3;
const OBJECTS: usize = 32;

/// Nothing is mapped in the last megabyte of the address space, on any architecture.
pub const UNMAPPED: u64 = 0xffff_ffff_fff0_0000;
/// Inodes of the two namespaces.
pub const INODES: [u32; 2] = [0xf000_0001, 0xf000_0002];

/// `enum ip_conntrack_info`: what a packet is to its connection.
pub const ESTABLISHED: u64 = 0;
pub const RELATED: u64 = 1;
pub const NEW: u64 = 2;
pub const ESTABLISHED_REPLY: u64 = 3;
pub const RELATED_REPLY: u64 = 4;

/// Verdicts of netfilter.
pub const NF_DROP: u64 = 0;
pub const NF_ACCEPT: u64 = 1;

/// Loaded programs and the memory in which their objects lie.
pub struct Bench {
    pub object: Object,
    pub setup: Setup,
    /// The kernel's address of the memory, and its clock tick when the case began.
    base: u64,
    jiffies: u32,
    losses_seen: [u64; 12],
    losses_checked: bool,
}

impl Bench {
    pub fn load(setup: Setup) -> anyhow::Result<Self> {
        Ok(Self {
            object: Object::load(&setup)?,
            setup,
            base: 0,
            jiffies: 0,
            losses_seen: [0; 12],
            losses_checked: false,
        })
    }

    /// Prepares for a case: nothing is left of the one before.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        self.object.reset()?;
        let data = self.object.data();
        (self.base, self.jiffies) = (data.fake_address, data.jiffies_now as u32);
        self.losses_seen = self.object.losses()?;
        self.losses_checked = false;
        if let Some((_, inum)) = self.setup.offsets.netns {
            for (number, inode) in INODES.into_iter().enumerate() {
                let at = (NETS + number) * OBJECT_BYTES + inum;
                self.object.data().fake_memory[at..at + 4].copy_from_slice(&inode.to_ne_bytes());
            }
        }
        Ok(())
    }

    /// What must hold after every case: all that was reported or lost was looked at, no claim is left, and
    /// nothing that others may read holds a kernel address.
    pub fn end(&mut self) -> anyhow::Result<()> {
        self.records([])?;
        if !self.losses_checked {
            self.lost(&[])?;
        }
        ensure!(self.object.claimed() == 0, "a claim is left");
        let tables = self
            .object
            .entries()?
            .into_iter()
            .map(|entry| [entry.key, entry.value].concat());
        for bytes in tables.chain(self.object.overflowed()?) {
            self.shows_no_address(&bytes)?;
        }
        Ok(())
    }

    fn shows_no_address(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let memory = self.base..self.base + (OBJECTS * OBJECT_BYTES) as u64;
        for word in bytes.windows(8) {
            let word = u64::from_ne_bytes(word.try_into()?);
            ensure!(!memory.contains(&word), "a kernel address in {bytes:02x?}");
        }
        Ok(())
    }

    /// The kernel's address of the connection in this slot.
    pub fn address(&self, slot: usize) -> u64 {
        self.base + ((CONNS + slot) * OBJECT_BYTES) as u64
    }

    /// Puts a connection into a slot of memory, over the one that was there.
    pub fn place(&mut self, slot: usize, conn: Conn) -> Conn {
        let net = match conn.net {
            Net::First => self.base + (NETS * OBJECT_BYTES) as u64,
            Net::Second => self.base + ((NETS + 1) * OBJECT_BYTES) as u64,
            Net::Unreadable => UNMAPPED,
        };
        // 0 would mean that it is not known.
        let expires = self.jiffies.wrapping_add_signed(conn.expires_in).max(1);
        let offsets = self.setup.offsets;
        let at = (CONNS + slot) * OBJECT_BYTES;
        let memory = &mut self.object.data().fake_memory[at..at + OBJECT_BYTES];
        conn.write(&offsets, net, expires, memory);
        conn
    }

    /// The packet's `_nfct`; returns the address of its `sk_buff`.
    pub fn packet_of(&mut self, nfct: u64) -> u64 {
        let at = PACKET * OBJECT_BYTES + self.setup.offsets.skb_nfct;
        self.object.data().fake_memory[at..at + 8].copy_from_slice(&nfct.to_ne_bytes());
        self.base + (PACKET * OBJECT_BYTES) as u64
    }

    /// A packet of the connection in this slot is transmitted.
    pub fn packet(&mut self, info: u64, slot: usize) -> anyhow::Result<()> {
        let skb = self.packet_of(self.address(slot) | info);
        self.object.call("on_net_dev_queue", [skb, 0])?;
        Ok(())
    }

    /// A connection that begins: placed in a slot, its first packet transmitted.
    pub fn first_packet(&mut self, slot: usize, conn: Conn) -> anyhow::Result<Conn> {
        self.place(slot, conn);
        self.packet(NEW, slot)?;
        Ok(conn)
    }

    /// The kernel frees the connection in this slot.
    pub fn destroyed(&mut self, slot: usize) -> anyhow::Result<()> {
        self.object
            .call("run_on_destroy", [self.address(slot), 0])?;
        Ok(())
    }

    /// Sweeps the tables as `conntrack` does on this kernel.
    pub fn sweep(&mut self) -> anyhow::Result<Swept> {
        if self.object.can_walk {
            self.object.call("sweep", [0; 2])?;
            return Ok(self.object.swept());
        }
        let mut swept = Swept::default();
        for entry in self.object.entries()? {
            match self.object.check(&entry)? {
                CHECKED_ALIVE => swept.kept[usize::from(entry.is_v6)] += 1,
                CHECKED_ENDED => swept.ended += 1,
                CHECKED_STUCK => {
                    swept.stuck = true;
                    break;
                }
                _ => {}
            }
        }
        Ok(swept)
    }

    /// Fills the ring buffer.
    pub fn fill_ring(&mut self) -> anyhow::Result<()> {
        for _ in 0..self.setup.ring_bytes {
            if self.object.call("fill_ring", [0; 2])? != 0 {
                return Ok(());
            }
        }
        bail!("the ring buffer does not become full");
    }

    /// Makes room for so many records in the full ring buffer.
    pub fn make_room(&mut self, records: usize) -> anyhow::Result<()> {
        let taken = self.object.take(records)?;
        ensure!(taken.len() == records && taken.iter().all(|record| record.r#type == 0));
        Ok(())
    }

    /// The records since the last call; they must be of these types, in this order.
    pub fn records<const N: usize>(&mut self, kinds: [u8; N]) -> anyhow::Result<[Record; N]> {
        let records = self.object.take(usize::MAX)?;
        let records: Vec<Record> = records
            .into_iter()
            .filter(|record| record.r#type != 0)
            .collect();
        let found: Vec<u8> = records.iter().map(|record| record.r#type).collect();
        ensure!(found == kinds, "records of types {found:?}, not {kinds:?}");
        records
            .try_into()
            .map_err(|_| anyhow::anyhow!("as many as there are types"))
    }

    /// The losses since the case began: these and no others.
    pub fn lost(&mut self, expected: &[(Loss, u64)]) -> anyhow::Result<()> {
        self.losses_checked = true;
        let now = self.object.losses()?;
        let mut found = BTreeMap::new();
        for (place, (now, before)) in now.into_iter().zip(self.losses_seen).enumerate() {
            if now != before {
                found.insert(place, now - before);
            }
        }
        let expected = expected
            .iter()
            .map(|&(place, count)| (place as usize, count));
        same("losses by place", found, expected.collect())
    }

    /// The only entry of the table.
    pub fn entry(&self) -> anyhow::Result<Entry> {
        match <[Entry; 1]>::try_from(self.object.entries()?) {
            Ok([entry]) => Ok(entry),
            Err(entries) => bail!("{} entries, not one", entries.len()),
        }
    }

    /// The only entry of the connection in this slot.
    pub fn entry_of(&self, slot: usize) -> anyhow::Result<Entry> {
        let mut entries = self.object.entries()?;
        entries.retain(|entry| entry.ct() == hidden(self.address(slot)));
        match <[Entry; 1]>::try_from(entries) {
            Ok([entry]) => Ok(entry),
            Err(entries) => bail!("{} entries of slot {slot}, not one", entries.len()),
        }
    }

    /// The number of entries.
    pub fn entries_are(&self, number: usize) -> anyhow::Result<()> {
        same("entries", self.object.entries()?.len(), number)
    }
}

/// Fails unless both are equal.
pub fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> anyhow::Result<()> {
    ensure!(found == expected, "{what}: {found:?}, not {expected:?}");
    Ok(())
}

/// `CLOCK_MONOTONIC`, as the programs read it.
pub fn monotonic_ns() -> anyhow::Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(u64::try_from(now.tv_sec())? * 1_000_000_000 + u64::try_from(now.tv_nsec())?)
}
