//! Installs legacy rules in a namespace of our own: as many of their parts as the kernel takes without
//! loading modules that it may not load.

use std::fmt;

use nix::errno::Errno;

use crate::Part;

use super::replace::Tables;
use super::rules::LegacyRules;
use super::table::Rule;
use super::table::Table;

/// Modules that [`LegacyRules::install`] needs, over all kernel versions (`nf_*_ipv4` were merged into
/// others between 4.19 and 5.1). The kernel loads absent ones, except `ip_tables` itself.
pub const MODULES: &[&str] = &[
    "x_tables",
    "ip_tables",
    "nf_conntrack",
    "nf_conntrack_ipv4",
    "iptable_filter",
    "xt_conntrack",
    "iptable_raw",
    "xt_CT",
    "iptable_mangle",
    "xt_connmark",
    "xt_mark",
    "iptable_nat",
    "xt_nat",
    "nf_nat",
    "nf_nat_ipv4",
];

/// Modules that every part needs.
const BASE: [&str; 4] = ["x_tables", "ip_tables", "nf_conntrack", "nf_conntrack_ipv4"];

/// Modules that a part needs besides [`BASE`].
fn modules(part: Part) -> &'static [&'static str] {
    match part {
        Part::Tracking => &["iptable_filter", "xt_conntrack"],
        Part::Zone => &["iptable_raw", "xt_CT", "xt_mark"],
        Part::Mark => &["iptable_mangle", "xt_connmark", "xt_mark"],
        Part::Dnat | Part::Snat => &["iptable_nat", "xt_nat", "xt_mark", "nf_nat", "nf_nat_ipv4"],
    }
}

/// Why a part was not set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Not tried: the kernel would have to load these modules.
    WouldLoad(Vec<&'static str>),
    /// The kernel refused: it has no such table, match or target (`ENOENT`), no legacy iptables at all
    /// (`ENOPROTOOPT`), does not support an option of it (`EOPNOTSUPP`), does not permit it (`EPERM`),
    /// or the table has rules already (`EAGAIN`).
    Kernel(Errno),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldLoad(modules) => {
                write!(f, "the kernel would have to load {}", modules.join(", "))
            }
            Self::Kernel(errno) => errno.fmt(f),
        }
    }
}

impl LegacyRules {
    /// Switches connection tracking of IPv4 on in the calling thread's network namespace, with as
    /// many parts of the rules as the kernel takes without loading one of the modules `missing`: the
    /// answer of [`Modules::would_load`](crate::modules::Modules::would_load) for [`MODULES`], or
    /// none if the kernel may load them.
    ///
    /// Returns the parts that were refused, each with the reason; the others are in force. If
    /// [`Part::Tracking`] is among them, nothing is. It is meant for a new namespace: tables that
    /// have rules already are not changed.
    ///
    /// # Errors
    /// If no IPv4 socket can be opened.
    pub fn install(&self, missing: &[&str]) -> nix::Result<Vec<(Part, Refusal)>> {
        let tables = Tables::open()?;
        Ok(settle(self, missing, |table, rules| {
            tables.replace(table, rules)
        }))
    }
}

/// Replaces one table after the other: each serves one part and does not need the others.
fn settle(
    rules: &LegacyRules,
    missing: &[&str],
    mut replace: impl FnMut(Table, &[Rule]) -> nix::Result<()>,
) -> Vec<(Part, Refusal)> {
    let mut wanted = Vec::new();
    if rules.zone {
        wanted.push((vec![Part::Zone], LegacyRules::zone_rules()));
    }
    if let Some(key) = rules.mark {
        wanted.push((vec![Part::Mark], LegacyRules::mark_rules(key)));
    }
    let mut nat = Vec::new();
    nat.extend((!rules.dnat.is_empty()).then_some(Part::Dnat));
    nat.extend((!rules.snat.is_empty()).then_some(Part::Snat));
    if !nat.is_empty() {
        wanted.push((nat, rules.nat_rules()));
    }

    let mut attempt = |part, (table, rules): (Table, Vec<Rule>)| {
        let needed = BASE.iter().chain(modules(part)).copied();
        let loaded: Vec<_> = needed.filter(|module| missing.contains(module)).collect();
        if loaded.is_empty() {
            replace(table, &rules).map_err(Refusal::Kernel)
        } else {
            Err(Refusal::WouldLoad(loaded))
        }
    };
    let mut tracks = false;
    let mut refused = Vec::new();
    for (parts, rules) in wanted {
        match attempt(parts[0], rules) {
            // Zone, mark and NAT targets all make the kernel track (`nf_ct_netns_get`).
            Ok(()) => tracks = true,
            Err(why) => refused.extend(parts.into_iter().map(|part| (part, why.clone()))),
        }
    }
    if !tracks {
        if let Err(why) = attempt(Part::Tracking, LegacyRules::tracking_rules()) {
            refused.insert(0, (Part::Tracking, why));
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Part; 5] = [
        Part::Tracking,
        Part::Zone,
        Part::Mark,
        Part::Dnat,
        Part::Snat,
    ];

    fn everything() -> LegacyRules {
        let end = "127.0.0.1:1".parse().unwrap();
        LegacyRules {
            zone: true,
            mark: Some(1),
            dnat: vec![end],
            snat: vec![end],
        }
    }

    #[test]
    fn the_modules_are_those_of_the_parts() {
        let mut of_parts: Vec<_> = ALL.into_iter().flat_map(modules).chain(&BASE).collect();
        of_parts.sort_unstable();
        of_parts.dedup();
        let mut all: Vec<_> = MODULES.iter().collect();
        all.sort_unstable();
        assert_eq!(all, of_parts);
    }

    #[test]
    fn each_table_is_replaced_once_and_the_rest_outlives_a_refusal() {
        let mut replaced = Vec::new();
        let refused = settle(&everything(), &[], |table, _| {
            replaced.push(table);
            match table {
                Table::Nat => Err(Errno::ENOENT),
                _ => Ok(()),
            }
        });
        assert_eq!(replaced, [Table::Raw, Table::Mangle, Table::Nat]);
        let no_nat = Refusal::Kernel(Errno::ENOENT);
        assert_eq!(
            refused,
            [(Part::Dnat, no_nat.clone()), (Part::Snat, no_nat)]
        );
    }

    #[test]
    fn tracking_has_a_rule_of_its_own_if_nothing_else_makes_the_kernel_track() {
        let mut replaced = Vec::new();
        let refused = settle(&everything(), &[], |table, _| {
            replaced.push(table);
            match table {
                Table::Filter => Ok(()),
                _ => Err(Errno::EOPNOTSUPP),
            }
        });
        assert_eq!(replaced.last(), Some(&Table::Filter));
        let parts: Vec<_> = refused.into_iter().map(|(part, _)| part).collect();
        assert_eq!(parts, ALL[1..]);
    }
}
