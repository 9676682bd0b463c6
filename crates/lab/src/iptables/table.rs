//! A whole table as a 64-bit kernel takes it: `struct ipt_replace` and its entries
//! (`linux/netfilter_ipv4/ip_tables.h`). Pure.

use zerocopy::Immutable;
use zerocopy::IntoBytes;

use crate::Hook;

use super::extension::Extension;

const HOOKS: usize = libc::NF_INET_NUMHOOKS as usize;
/// `XT_TABLE_MAXNAMELEN`.
const NAME_BYTES: usize = 32;

/// One of the kernel's tables. Which hooks it has is fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Filter,
    Mangle,
    Nat,
    Raw,
}

impl Table {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Mangle => "mangle",
            Self::Nat => "nat",
            Self::Raw => "raw",
        }
    }

    /// In ascending order, which the kernel requires of the entries (4.17).
    fn hooks(self) -> &'static [Hook] {
        use Hook::Forward;
        use Hook::Input;
        use Hook::Output;
        use Hook::Postrouting;
        use Hook::Prerouting;
        match self {
            Self::Filter => &[Input, Forward, Output],
            Self::Mangle => &[Prerouting, Input, Forward, Output, Postrouting],
            Self::Nat => &[Prerouting, Input, Output, Postrouting],
            Self::Raw => &[Prerouting, Output],
        }
    }

    /// How many entries it has before any rule is added: each hook's policy, and the end
    /// (`xt_alloc_initial_table`).
    pub(super) fn initial_entries(self) -> usize {
        self.hooks().len() + 1
    }
}

/// A rule for every packet that its matches match.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) hook: Hook,
    pub(super) matches: Vec<Extension>,
    pub(super) target: Extension,
}

/// `struct ipt_replace` without the entries that follow it.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Replace {
    name: [u8; NAME_BYTES],
    valid_hooks: u32,
    num_entries: u32,
    size: u32,
    hook_entry: [u32; HOOKS],
    underflow: [u32; HOOKS],
    num_counters: u32,
    counters: usize,
}

/// `struct ipt_entry`.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Entry {
    /// `struct ipt_ip`: all zero, so that it matches every packet.
    ip: [u8; 84],
    nfcache: u32,
    target_offset: u16,
    next_offset: u16,
    comefrom: u32,
    counters: [u64; 2],
}

/// The bytes that replace an empty `table` by one with these rules, in this order, whose chains
/// accept every other packet.
///
/// The kernel writes the counters of the table's former entries to the address `counters`:
/// 16 bytes for each of [`Table::initial_entries`].
pub(super) fn replacement(table: Table, rules: &[Rule], counters: usize) -> Vec<u8> {
    let mut entries = Entries::default();
    let mut replace = Replace {
        name: [0; NAME_BYTES],
        valid_hooks: 0,
        num_entries: 0,
        size: 0,
        hook_entry: [0; HOOKS],
        underflow: [0; HOOKS],
        num_counters: length(table.initial_entries()),
        counters,
    };
    replace.name[..table.name().len()].copy_from_slice(table.name().as_bytes());
    for &hook in table.hooks() {
        replace.valid_hooks |= 1 << hook as u32;
        replace.hook_entry[hook as usize] = length(entries.bytes.len());
        for rule in rules.iter().filter(|rule| rule.hook == hook) {
            entries.add(&rule.matches, &rule.target);
        }
        replace.underflow[hook as usize] = length(entries.bytes.len());
        entries.add(&[], &Extension::accept());
    }
    entries.add(&[], &Extension::error());
    replace.num_entries = entries.count;
    replace.size = length(entries.bytes.len());
    [replace.as_bytes(), &entries.bytes].concat()
}

#[derive(Default)]
struct Entries {
    bytes: Vec<u8>,
    count: u32,
}

impl Entries {
    fn add(&mut self, matches: &[Extension], target: &Extension) {
        let matches_bytes: usize = matches.iter().map(|one| one.bytes().len()).sum();
        let target_offset = size_of::<Entry>() + matches_bytes;
        let next_offset = target_offset + target.bytes().len();
        let entry = Entry {
            ip: [0; 84],
            nfcache: 0,
            target_offset: short(target_offset),
            next_offset: short(next_offset),
            comefrom: 0,
            counters: [0; 2],
        };
        self.bytes.extend_from_slice(entry.as_bytes());
        for one in matches {
            self.bytes.extend_from_slice(one.bytes());
        }
        self.bytes.extend_from_slice(target.bytes());
        self.count += 1;
    }
}

fn length(count: usize) -> u32 {
    u32::try_from(count).expect("a table of at most 1,000 short rules")
}

fn short(bytes: usize) -> u16 {
    u16::try_from(bytes).expect("a rule has at most two matches of 200 bytes")
}
