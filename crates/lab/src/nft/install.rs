//! Installs a ruleset in a namespace of our own: as many of its parts as the kernel takes.

use netlink::Refusal;
use netlink::Socket;

use crate::Hook;
use crate::Part;

use super::batch::Base;
use super::batch::Batch;
use super::batch::Error;
use super::batch::Refused;
use super::expr::CtKey;
use super::expr::Expr;
use super::expr::MetaKey;
use super::expr::NatKind;
use super::expr::Register;
use super::nat_request::NatRequest;
use super::ruleset::Address;
use super::ruleset::Rewrite;
use super::ruleset::Ruleset;
use super::ruleset::when_set;

/// Modules that [`Ruleset::install`] makes the kernel load if they are absent, over all kernel
/// versions (`nf_*_ipv4` and `_ipv6` were merged into others between 4.17 and 5.1).
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
const NAT_DST: i32 = libc::NF_IP_PRI_NAT_DST;
const NAT_SRC: i32 = libc::NF_IP_PRI_NAT_SRC;

impl<A: Address> Ruleset<A> {
    /// Switches connection tracking of one family on in the network namespace of `socket`, a
    /// netfilter socket, with as many parts of the ruleset as the kernel takes.
    ///
    /// Returns the parts that the kernel refused, each with the reason; the others are in force. It is
    /// meant for a new namespace: a second call for the same family is refused (`EEXIST`).
    ///
    /// # Errors
    /// If nf_tables as such is missing or not permitted.
    pub fn install(&self, socket: &mut Socket) -> Result<Vec<(Part, Refusal)>, Error> {
        let wanted = [
            (Part::Tracking, true),
            (Part::Zone, self.zone),
            (Part::Mark, self.mark),
            (Part::Dnat, self.nat_requests || !self.dnat.is_empty()),
            (Part::Snat, self.nat_requests || !self.snat.is_empty()),
        ];
        let parts = wanted.into_iter().filter(|(_, wanted)| *wanted);
        settle(parts.map(|(part, _)| part).collect(), |parts| {
            let mut batch = Batch::new(A::FAMILY, TABLE);
            let mut part_of = Vec::new();
            for &part in parts {
                self.add(part, &mut batch);
                part_of.resize(batch.len(), part);
            }
            match batch.commit(socket) {
                Ok(()) => Ok(Vec::new()),
                Err(Error::Refused(objects)) => {
                    let part_of = |refused: Refused| (part_of[refused.object], refused.refusal);
                    Ok(objects.into_iter().map(part_of).collect())
                }
                Err(error) => Err(error),
            }
        })
    }

    fn add(&self, part: Part, batch: &mut Batch) {
        // Zone and mark: the output hook is enough, since packets that return over loopback keep
        // their connection.
        match part {
            Part::Tracking => {
                // Any rule that reads the connection makes the kernel track, even in a chain that
                // no packet ever enters.
                batch.chain("tracking", None);
                batch.rule("tracking", &[Expr::CtLoad(CtKey::State, Register::R1)]);
            }
            Part::Zone => {
                batch.chain("zone", Base::filter(Hook::Output, libc::NF_IP_PRI_RAW));
                let set = Expr::CtSet(CtKey::Zone, Register::R1);
                batch.rule("zone", &when_set(MetaKey::Priority, set));
            }
            Part::Mark => {
                batch.chain("mark", Base::filter(Hook::Output, libc::NF_IP_PRI_MANGLE));
                let set = Expr::CtSet(CtKey::Mark, Register::R1);
                batch.rule("mark", &when_set(MetaKey::Mark, set));
            }
            // Kernels before 4.18 undo NAT on replies only at hooks that have a NAT chain.
            Part::Dnat => {
                batch.chain("dnat", Base::nat(Hook::Output, NAT_DST));
                batch.chain("undo_dnat", Base::nat(Hook::Input, NAT_SRC));
                self.add_nat("dnat", NatKind::Dnat, &self.dnat, batch);
            }
            Part::Snat => {
                batch.chain("snat", Base::nat(Hook::Postrouting, NAT_SRC));
                batch.chain("undo_snat", Base::nat(Hook::Prerouting, NAT_DST));
                self.add_nat("snat", NatKind::Snat, &self.snat, batch);
            }
        }
    }

    fn add_nat(&self, chain: &str, kind: NatKind, rewrites: &[Rewrite<A>], batch: &mut Batch) {
        if self.nat_requests {
            batch.rule(chain, &NatRequest::<A>::exprs(kind));
        }
        for rewrite in rewrites {
            batch.rule(chain, &rewrite.exprs(kind));
        }
    }
}

/// Commits as many of the parts as the kernel takes, and returns the others.
///
/// The kernel takes a batch whole or not at all, so each round leaves out the parts that the last one
/// refused. Every round but the last loses a part, so it ends.
fn settle<E>(
    mut parts: Vec<Part>,
    mut commit: impl FnMut(&[Part]) -> Result<Vec<(Part, Refusal)>, E>,
) -> Result<Vec<(Part, Refusal)>, E> {
    let mut refused = Vec::new();
    while parts.contains(&Part::Tracking) {
        let refusals = commit(&parts)?;
        if refusals.is_empty() {
            break;
        }
        for (part, refusal) in refusals {
            // Only a part's first refusal is the cause; the others follow from it.
            if parts.contains(&part) {
                parts.retain(|&other| other != part);
                refused.push((part, refusal));
            }
        }
    }
    Ok(refused)
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn what_the_kernel_cannot_do_is_left_out_and_the_rest_is_kept() {
        let mut rounds = Vec::new();
        let parts = vec![Part::Tracking, Part::Zone, Part::Mark, Part::Dnat];
        let refused = settle(parts, |parts| {
            rounds.push(parts.to_vec());
            Ok::<_, ()>(match rounds.len() {
                1 => vec![
                    (Part::Zone, Refusal::from(Errno::EOPNOTSUPP)),
                    (Part::Zone, Refusal::from(Errno::ENOENT)),
                ],
                2 => vec![(Part::Dnat, Refusal::from(Errno::ENOENT))],
                _ => vec![],
            })
        });
        let zone = (Part::Zone, Refusal::from(Errno::EOPNOTSUPP));
        assert_eq!(
            refused,
            Ok(vec![zone, (Part::Dnat, Refusal::from(Errno::ENOENT))])
        );
        assert_eq!(rounds.last().unwrap(), &[Part::Tracking, Part::Mark]);
    }

    #[test]
    fn without_tracking_there_is_nothing_to_keep() {
        let mut rounds = 0;
        let refused = settle(vec![Part::Tracking, Part::Mark], |_| {
            rounds += 1;
            Ok::<_, ()>(vec![(Part::Tracking, Refusal::from(Errno::EAFNOSUPPORT))])
        });
        assert_eq!(
            refused,
            Ok(vec![(Part::Tracking, Refusal::from(Errno::EAFNOSUPPORT))])
        );
        assert_eq!(rounds, 1);
    }
}
