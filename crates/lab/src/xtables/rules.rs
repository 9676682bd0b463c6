//! What connections shall have, what one of them chooses, and the rules that make it so. Pure.
//!
//! This interface reads no payload and no priority, so all that a connection chooses is in the
//! mark of its packets (`SO_MARK`).

use std::net::SocketAddrV4;

use crate::nft::Hook;

use super::extension::Extension;
use super::table::Rule;
use super::table::Table;

const ZONE: u32 = 0x0000_ffff;
const DNAT_SHIFT: u32 = 16;
const SNAT_SHIFT: u32 = 24;

/// What connections can have. Everything is optional; tracking itself is always switched on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// A connection is in the zone that it chooses, in its original direction.
    pub zone: bool,
    /// A connection gets the mark of its packets with the bits of this key inverted, as
    /// [`connmark`](Self::connmark) says. A key that is not zero keeps the mark from looking like
    /// the zone, whose number is in the packets' mark, too.
    pub mark: Option<u32>,
    /// Where connections can be sent instead; the first 255 can be chosen.
    pub dnat: Vec<SocketAddrV4>,
    /// Where connections can appear to come from; the first 255 can be chosen.
    pub snat: Vec<SocketAddrV4>,
}

/// What one connection chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Choice {
    /// Its zone; 0 is the one of all who choose none.
    pub zone: u16,
    /// Index in [`Rules::dnat`]; 255 and what the rules do not have leaves it alone.
    pub dnat: Option<u8>,
    /// Index in [`Rules::snat`]; 255 and what the rules do not have leaves it alone.
    pub snat: Option<u8>,
}

impl Choice {
    /// The mark that the connection's packets must have (`SO_MARK`).
    #[must_use]
    pub fn so_mark(&self) -> u32 {
        u32::from(self.zone) | bits(self.dnat, DNAT_SHIFT) | bits(self.snat, SNAT_SHIFT)
    }
}

/// Zero is for those who choose nothing.
fn bits(index: Option<u8>, shift: u32) -> u32 {
    let number = index.and_then(|index| index.checked_add(1)).unwrap_or(0);
    u32::from(number) << shift
}

impl Rules {
    /// The mark that a connection of this choice gets; 0 if its packets have none.
    #[must_use]
    pub fn connmark(&self, choice: &Choice) -> u32 {
        match (self.mark, choice.so_mark()) {
            (None, _) | (_, 0) => 0,
            (Some(key), so_mark) => so_mark ^ key,
        }
    }

    pub(super) fn zone_rules() -> (Table, Vec<Rule>) {
        // The output hook is enough: what comes back over loopback keeps its connection.
        let rule = Rule {
            hook: Hook::Output,
            matches: vec![Extension::mark_has(ZONE)],
            target: Extension::zone_from_mark(),
        };
        (Table::Raw, vec![rule])
    }

    pub(super) fn mark_rules(key: u32) -> (Table, Vec<Rule>) {
        // Packets without a mark, as replies are, leave the connection's alone.
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
            rules.push(nat_rule(
                Hook::Output,
                index,
                DNAT_SHIFT,
                Extension::dnat(to),
            ));
        }
        for (index, &to) in (0..u8::MAX).zip(&self.snat) {
            let target = Extension::snat(to);
            rules.push(nat_rule(Hook::Postrouting, index, SNAT_SHIFT, target));
        }
        (Table::Nat, rules)
    }

    /// For when there is no other rule that makes the kernel track.
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
    use super::*;

    #[test]
    fn a_choice_is_read_from_the_mark() {
        let choice = Choice {
            zone: 0xa5c3,
            dnat: Some(0),
            snat: Some(254),
        };
        assert_eq!(choice.so_mark(), 0xff01_a5c3);
        let nothing = Choice {
            snat: Some(255),
            ..Choice::default()
        };
        assert_eq!(nothing.so_mark(), 0);
    }

    #[test]
    fn the_key_changes_the_mark_of_those_who_have_one() {
        let rules = Rules {
            mark: Some(0x1234_5678),
            ..Rules::default()
        };
        let choice = Choice {
            zone: 0x0ff0,
            ..Choice::default()
        };
        assert_eq!(rules.connmark(&choice), 0x1234_5988);
        assert_eq!(rules.connmark(&Choice::default()), 0);
        assert_eq!(Rules::default().connmark(&choice), 0);
    }
}
