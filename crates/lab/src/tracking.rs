//! Switches connection tracking on in a namespace of our own, with the rules that give connections
//! their zone, mark and NAT, and tells apart what the kernel cannot do.

use crate::nft;
use crate::nft::Base;
use crate::nft::Batch;
use crate::nft::ChainKind;
use crate::nft::CtKey;
use crate::nft::Direction;
use crate::nft::Expr;
use crate::nft::Hook;
use crate::nft::MetaKey;
use crate::nft::NatKind;
use crate::nft::Refused;
use crate::nft::Register;
use netlink::Refusal;
use netlink::Socket;

use crate::Address;
use crate::Rules;
use crate::Wish;
use crate::rules::when_set;

/// Modules that [`conntrack_on`] makes the kernel load if they are not there, over all kernel
/// versions (`nf_*_ipv4` and `_ipv6` were folded into others between 4.17 and 5.1).
pub const MODULES: &[&str] = &[
    "nfnetlink",
    "nf_tables",
    "nf_tables_ipv4",
    "nf_tables_ipv6",
    "nf_conntrack",
    "nf_conntrack_ipv4",
    "nf_conntrack_ipv6",
    "nft_ct",
    "nft_nat",
    "nft_chain_nat",
    "nft_chain_nat_ipv4",
    "nft_chain_nat_ipv6",
];

const TABLE: &str = "sextant";
/// `NF_IP_PRI_RAW`, before connection tracking at -200.
const BEFORE_TRACKING: i32 = -300;
/// `NF_IP_PRI_MANGLE`, behind it.
const BEHIND_TRACKING: i32 = -150;
/// `NF_IP_PRI_NAT_DST` and `NF_IP_PRI_NAT_SRC`.
const NAT_DST: i32 = -100;
const NAT_SRC: i32 = 100;

/// What a kernel may be unable to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Connection tracking of this family at all; without it nothing else is set up either.
    Tracking,
    /// [`Rules::zone`].
    Zone,
    /// [`Rules::mark`].
    Mark,
    /// [`Rules::dnat`].
    Dnat,
    /// [`Rules::snat`].
    Snat,
}

/// Switches connection tracking of one family on in the network namespace of `socket`, a
/// netfilter socket, with as many of the `rules` as the kernel can carry out.
///
/// Returns the parts that it refused, each with the reason; the others are in force. It is meant
/// for a namespace made for it: a second call for the same family is refused (`EEXIST`).
///
/// # Errors
/// If nf_tables as such is missing or not permitted.
pub fn conntrack_on<A: Address>(
    socket: &mut Socket,
    rules: &Rules<A>,
) -> Result<Vec<(Part, Refusal)>, nft::Error> {
    let mut parts = vec![Part::Tracking];
    parts.extend(rules.zone.then_some(Part::Zone));
    parts.extend(rules.mark.then_some(Part::Mark));
    parts.extend((rules.wishes || !rules.dnat.is_empty()).then_some(Part::Dnat));
    parts.extend((rules.wishes || !rules.snat.is_empty()).then_some(Part::Snat));

    settle(parts, |parts| {
        let mut setup = Setup::default();
        for &part in parts {
            setup.add(part, rules);
        }
        match setup.batch.commit(socket) {
            Ok(()) => Ok(Vec::new()),
            Err(nft::Error::Refused(objects)) => {
                let part_of = |object: Refused| (setup.part_of[object.object], object.refusal);
                Ok(objects.into_iter().map(part_of).collect())
            }
            Err(error) => Err(error),
        }
    })
}

/// Commits as many of the parts as can be had and returns the others.
///
/// A batch is taken whole or not at all, so each round leaves out what the last one proved
/// impossible. Every round but the last loses a part, hence it ends.
fn settle<E>(
    mut parts: Vec<Part>,
    mut commit: impl FnMut(&[Part]) -> Result<Vec<(Part, Refusal)>, E>,
) -> Result<Vec<(Part, Refusal)>, E> {
    let mut refused = Vec::new();
    while parts.contains(&Part::Tracking) {
        let culprits = commit(&parts)?;
        if culprits.is_empty() {
            break;
        }
        for (part, refusal) in culprits {
            // Only a part's first refusal is its cause: the rest refer to what was refused.
            if parts.contains(&part) {
                parts.retain(|&other| other != part);
                refused.push((part, refusal));
            }
        }
    }
    Ok(refused)
}

/// A batch that remembers which part each of its objects belongs to.
#[derive(Default)]
struct Setup {
    batch: Batch,
    part_of: Vec<Part>,
}

impl Setup {
    fn add<A: Address>(&mut self, part: Part, rules: &Rules<A>) {
        match part {
            Part::Tracking => {
                self.batch.table(A::FAMILY, TABLE);
                // Any rule that asks for a connection makes the kernel track them, even one that
                // no packet ever meets.
                self.chain::<A>("tracking", None);
                self.rule::<A>("tracking", &[Expr::CtLoad(CtKey::State, Register::R1)]);
            }
            Part::Zone => {
                // The output hook is enough: what comes back over loopback keeps its connection.
                self.chain::<A>("zone", filter(BEFORE_TRACKING));
                let set = Expr::CtSet(CtKey::Zone, Register::R1, Some(Direction::Original));
                self.rule::<A>("zone", &when_set(MetaKey::Priority, set));
            }
            Part::Mark => {
                self.chain::<A>("mark", filter(BEHIND_TRACKING));
                let set = Expr::CtSet(CtKey::Mark, Register::R1, None);
                self.rule::<A>("mark", &when_set(MetaKey::Mark, set));
            }
            // Kernels before 4.18 undo NAT on replies only at hooks that have a NAT chain.
            Part::Dnat => {
                self.chain::<A>("dnat", nat(Hook::Output, NAT_DST));
                self.chain::<A>("undo_dnat", nat(Hook::Input, NAT_SRC));
                if rules.wishes {
                    self.rule::<A>("dnat", &Wish::<A>::exprs(NatKind::Dnat));
                }
                for rewrite in &rules.dnat {
                    self.rule::<A>("dnat", &rewrite.exprs(NatKind::Dnat));
                }
            }
            Part::Snat => {
                self.chain::<A>("snat", nat(Hook::Postrouting, NAT_SRC));
                self.chain::<A>("undo_snat", nat(Hook::Prerouting, NAT_DST));
                if rules.wishes {
                    self.rule::<A>("snat", &Wish::<A>::exprs(NatKind::Snat));
                }
                for rewrite in &rules.snat {
                    self.rule::<A>("snat", &rewrite.exprs(NatKind::Snat));
                }
            }
        }
        self.part_of.resize(self.batch.len(), part);
    }

    fn chain<A: Address>(&mut self, chain: &str, base: Option<Base>) {
        self.batch.chain(A::FAMILY, TABLE, chain, base);
    }

    fn rule<A: Address>(&mut self, chain: &str, exprs: &[Expr]) {
        self.batch.rule(A::FAMILY, TABLE, chain, exprs);
    }
}

fn filter(priority: i32) -> Option<Base> {
    Some(Base {
        kind: ChainKind::Filter,
        hook: Hook::Output,
        priority,
    })
}

fn nat(hook: Hook, priority: i32) -> Option<Base> {
    Some(Base {
        kind: ChainKind::Nat,
        hook,
        priority,
    })
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    fn refusal(errno: Errno) -> Refusal {
        Refusal {
            errno,
            text: None,
            offset_bytes: None,
        }
    }

    #[test]
    fn what_the_kernel_cannot_do_is_left_out_and_the_rest_is_kept() {
        let mut rounds = Vec::new();
        let parts = vec![Part::Tracking, Part::Zone, Part::Mark, Part::Dnat];
        let refused = settle(parts, |parts| {
            rounds.push(parts.to_vec());
            Ok::<_, ()>(match rounds.len() {
                1 => vec![
                    (Part::Zone, refusal(Errno::EOPNOTSUPP)),
                    (Part::Zone, refusal(Errno::ENOENT)),
                ],
                2 => vec![(Part::Dnat, refusal(Errno::ENOENT))],
                _ => vec![],
            })
        });
        let zone = (Part::Zone, refusal(Errno::EOPNOTSUPP));
        assert_eq!(
            refused,
            Ok(vec![zone, (Part::Dnat, refusal(Errno::ENOENT))])
        );
        assert_eq!(rounds.last().unwrap(), &[Part::Tracking, Part::Mark]);
    }

    #[test]
    fn without_tracking_there_is_nothing_to_keep() {
        let mut rounds = 0;
        let refused = settle(vec![Part::Tracking, Part::Mark], |_| {
            rounds += 1;
            Ok::<_, ()>(vec![(Part::Tracking, refusal(Errno::EAFNOSUPPORT))])
        });
        assert_eq!(
            refused,
            Ok(vec![(Part::Tracking, refusal(Errno::EAFNOSUPPORT))])
        );
        assert_eq!(rounds, 1);
    }
}
