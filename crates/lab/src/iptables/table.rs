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
    fn name(self) -> &'static str {
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use tempfile::TempDir;

    use super::super::LegacyRules;
    use super::*;

    const SOURCE: &str = "tests/ip_tables.c";
    const COUNTERS: usize = 0x1122_3344_5566_7788;

    #[test]
    fn the_kernels_own_structures_have_the_same_bytes() {
        let dir = TempDir::new().unwrap();
        let program = dir.path().join("ip_tables");
        let compiler = Command::new("cc")
            .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-o"])
            .arg(&program)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(SOURCE))
            .status()
            .unwrap();
        assert!(compiler.success(), "{SOURCE} does not compile");

        let rules = LegacyRules {
            dnat: vec![
                "127.1.2.3:4567".parse().unwrap(),
                "127.1.2.4:4568".parse().unwrap(),
            ],
            snat: vec!["127.5.6.7:8901".parse().unwrap()],
            ..LegacyRules::default()
        };
        for (table, rules) in [
            LegacyRules::tracking_rules(),
            LegacyRules::zone_rules(),
            LegacyRules::mark_rules(0x1357_9bdf),
            rules.nat_rules(),
        ] {
            let output = Command::new(&program).arg(table.name()).output().unwrap();
            assert!(output.status.success());
            let ours = replacement(table, &rules, COUNTERS);
            assert_eq!(ours.len(), output.stdout.len(), "{table:?}");
            let differs = ours.iter().zip(&output.stdout).position(|(a, b)| a != b);
            assert_eq!(differs, None, "byte of {table:?}");
        }
    }
}
