//! What connections can have, what one of them chooses, and the rules for it. Pure.
//!
//! This interface matches no payload and no priority, so a connection chooses everything by the mark
//! of its packets (`SO_MARK`).

use std::net::SocketAddrV4;

use crate::Hook;

use super::extension::Extension;
use super::table::Rule;
use super::table::Table;

const ZONE: u32 = 0x0000_ffff;
const DNAT_SHIFT: u32 = 16;
const SNAT_SHIFT: u32 = 24;

/// What connections can have. Everything is optional; tracking itself is always switched on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LegacyRules {
    /// A connection is in the zone that it chooses, in its original direction.
    pub zone: bool,
    /// A connection gets the mark of its packets with the bits of this key inverted: see
    /// [`connmark`](Self::connmark). With a key other than zero the connection's mark differs from its
    /// zone, whose number is in the packets' mark as well.
    pub mark: Option<u32>,
    /// New destinations; connections can choose the first 255.
    pub dnat: Vec<SocketAddrV4>,
    /// New sources; connections can choose the first 255.
    pub snat: Vec<SocketAddrV4>,
}

/// The choices of one connection, which the mark of its packets encodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacketMark {
    /// Its zone; 0 is the default zone.
    pub zone: u16,
    /// Index in [`LegacyRules::dnat`]; 255 and an index without a rule rewrite nothing.
    pub dnat: Option<u8>,
    /// Index in [`LegacyRules::snat`]; 255 and an index without a rule rewrite nothing.
    pub snat: Option<u8>,
}

impl PacketMark {
    /// The value of `SO_MARK`.
    #[must_use]
    pub fn so_mark(&self) -> u32 {
        u32::from(self.zone) | bits(self.dnat, DNAT_SHIFT) | bits(self.snat, SNAT_SHIFT)
    }
}

/// Zero chooses nothing.
fn bits(index: Option<u8>, shift: u32) -> u32 {
    let number = index.and_then(|index| index.checked_add(1)).unwrap_or(0);
    u32::from(number) << shift
}

impl LegacyRules {
    /// The mark that a connection with such packets gets; 0 if its packets have none.
    #[must_use]
    pub fn connmark(&self, packets: &PacketMark) -> u32 {
        match (self.mark, packets.so_mark()) {
            (None, _) | (_, 0) => 0,
            (Some(key), so_mark) => so_mark ^ key,
        }
    }

    pub(super) fn zone_rules() -> (Table, Vec<Rule>) {
        // The output hook is enough: packets that return over loopback keep their connection.
        let rule = Rule {
            hook: Hook::Output,
            matches: vec![Extension::mark_has(ZONE)],
            target: Extension::zone_from_mark(),
        };
        (Table::Raw, vec![rule])
    }

    pub(super) fn mark_rules(key: u32) -> (Table, Vec<Rule>) {
        // Packets without a mark, such as replies, do not change the connection's mark.
        let rule = |target| Rule {
            hook: Hook::Output,
            matches: vec![Extension::mark_has(u32::MAX)],
            target,
        };
        let rules = [Extension::save_mark(), Extension::invert_mark(key)].map(rule);
        (Table::Mangle, rules.into())
    }

    pub(super) fn nat_rules(&self) -> (Table, Vec<Rule>) {
        let mut rules = Vec::new();
        for (index, &to) in (0..u8::MAX).zip(&self.dnat) {
            let target = Extension::dnat(to);
            rules.push(nat_rule(Hook::Output, index, DNAT_SHIFT, target));
        }
        for (index, &to) in (0..u8::MAX).zip(&self.snat) {
            let target = Extension::snat(to);
            rules.push(nat_rule(Hook::Postrouting, index, SNAT_SHIFT, target));
        }
        (Table::Nat, rules)
    }

    /// For rules none of which makes the kernel track.
    pub(super) fn tracking_rules() -> (Table, Vec<Rule>) {
        let rule = Rule {
            hook: Hook::Output,
            matches: vec![Extension::any_connection()],
            target: Extension::accept(),
        };
        (Table::Filter, vec![rule])
    }
}

fn nat_rule(hook: Hook, index: u8, shift: u32, target: Extension) -> Rule {
    let chosen = Extension::mark_is(bits(Some(index), shift), 0xff << shift);
    Rule {
        hook,
        matches: vec![chosen],
        target,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use tempfile::TempDir;

    use super::super::table::replacement;
    use super::*;

    const SOURCE: &str = "tests/ip_tables.c";
    const COUNTERS: usize = 0x1122_3344_5566_7788;

    #[test]
    fn a_choice_is_read_from_the_mark() {
        let choice = PacketMark {
            zone: 0xa5c3,
            dnat: Some(0),
            snat: Some(254),
        };
        assert_eq!(choice.so_mark(), 0xff01_a5c3);
        let nothing = PacketMark {
            snat: Some(255),
            ..PacketMark::default()
        };
        assert_eq!(nothing.so_mark(), 0);
    }

    #[test]
    fn the_key_changes_only_marks_that_are_set() {
        let rules = LegacyRules {
            mark: Some(0x1234_5678),
            ..LegacyRules::default()
        };
        let choice = PacketMark {
            zone: 0x0ff0,
            ..PacketMark::default()
        };
        assert_eq!(rules.connmark(&choice), 0x1234_5988);
        assert_eq!(rules.connmark(&PacketMark::default()), 0);
        assert_eq!(LegacyRules::default().connmark(&choice), 0);
    }

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
