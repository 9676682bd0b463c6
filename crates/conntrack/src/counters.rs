//! How many records were reported and how many events were lost. Pure.

use std::fmt;

use shared::record::wire::Loss;
use shared::record::wire::kind;

use crate::unseen::Unseen;

/// Record types, in the order in which they are shown.
const TYPES: [(u8, &str); 4] = [
    (kind::NEW, "new"),
    (kind::DESTROY, "destroy"),
    (kind::DUMP, "dump"),
    (kind::UPDATE, "update"),
];

/// Totals of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    records: [u64; TYPES.len()],
    losses: [u64; Loss::ALL.len()],
    /// What the source has not seen, or why nobody looked.
    unseen: Option<Result<Unseen, String>>,
}

/// Places at which a connection is lost before it is reported: it may live on in the kernel.
const BEGINNINGS: [Loss; 6] = [
    Loss::RingbufFull,
    Loss::TableFull,
    Loss::ReadFault,
    Loss::TableRefused,
    Loss::ProbeMissed,
    Loss::TupleBusy,
];

impl Counters {
    /// Counts one record of a connection; ignores loss records.
    pub fn count(&mut self, kind: u8) {
        if let Some(at) = TYPES.iter().position(|(known, _)| *known == kind) {
            self.records[at] += 1;
        }
    }

    /// Records of connections reported so far.
    pub fn records(&self) -> u64 {
        self.records.iter().sum()
    }

    /// Sets the total lost at one place and returns by how much it has grown.
    pub fn lost(&mut self, place: Loss, total: u64) -> u64 {
        let known = &mut self.losses[place as usize - 1];
        let grown = total.saturating_sub(*known);
        *known = total.max(*known);
        grown
    }

    /// Everything lost, at all places.
    pub fn losses(&self) -> u64 {
        self.losses.iter().sum()
    }

    /// Sets what the source has not seen, or why that is not known.
    pub fn set_unseen(&mut self, looked: Result<Unseen, String>) {
        self.unseen = Some(looked);
    }

    /// Were beginnings lost? Those of them that still live are among the unseen, but nobody knows how many
    /// do.
    fn has_lost_beginnings(&self) -> bool {
        let mut places = BEGINNINGS.iter();
        places.any(|place| self.losses[*place as usize - 1] > 0)
    }

    /// Live connections that the source has never reported, those that it has lost included; `None` if nobody
    /// looked.
    pub fn unseen(&self) -> Option<u64> {
        let looked = self.unseen.as_ref()?.as_ref();
        looked.ok().map(|unseen| unseen.live)
    }

    /// Records by type name.
    pub fn by_type(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        TYPES
            .iter()
            .zip(self.records)
            .map(|((_, name), count)| (*name, count))
    }

    /// Losses by place.
    pub fn by_place(&self) -> impl Iterator<Item = (Loss, u64)> + '_ {
        Loss::ALL.into_iter().zip(self.losses)
    }
}

/// `3 new, 2 destroy; nothing lost`. These words stand only where no counter of losses has moved and the
/// kernel was asked, and had no connection that the source has not reported.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, count) in self.by_type().filter(|(_, count)| *count > 0) {
            write!(f, "{separator}{count} {name}")?;
            separator = ", ";
        }
        if self.records() == 0 {
            f.write_str("no records")?;
        }
        let mut separator = "; lost ";
        for (place, count) in self.by_place().filter(|(_, count)| *count > 0) {
            write!(f, "{separator}{count} ({})", place.name())?;
            separator = ", ";
        }
        let has_losses = self.losses() > 0;
        match &self.unseen {
            Some(Ok(unseen)) => {
                if unseen.live == 0 && !has_losses {
                    let is_everywhere = unseen.unentered.is_none();
                    f.write_str(if is_everywhere {
                        "; nothing lost"
                    } else {
                        "; no loss counted"
                    })?;
                }
                let up_to = if unseen.live > 0 && self.has_lost_beginnings() {
                    "up to "
                } else {
                    ""
                };
                match unseen.to_string() {
                    text if text.is_empty() => Ok(()),
                    text => write!(f, "; {up_to}{text}"),
                }
            }
            not_looked => {
                if !has_losses {
                    f.write_str("; no loss counted")?;
                }
                match not_looked {
                    Some(Err(why)) => {
                        write!(f, "; nobody looked for connections out of sight: {why}")
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "(--help: --source)";

    fn unseen(live: u64) -> Result<Unseen, String> {
        let unentered = None;
        Ok(Unseen { live, unentered })
    }

    #[test]
    fn the_summary_shows_records_and_losses() {
        let mut counters = Counters::default();
        counters.set_unseen(unseen(0));
        assert_eq!(counters.to_string(), "no records; nothing lost");
        for kind in [kind::NEW, kind::NEW, kind::DESTROY, kind::LOSS] {
            counters.count(kind);
        }
        assert_eq!(counters.records(), 3);
        assert_eq!(counters.lost(Loss::TableFull, 5), 5);
        assert_eq!(counters.lost(Loss::TableFull, 7), 2);
        assert_eq!(counters.lost(Loss::TableFull, 7), 0);
        assert_eq!(
            counters.to_string(),
            "2 new, 1 destroy; lost 7 (table_full)"
        );
    }

    #[test]
    fn nothing_is_lost_only_where_nothing_is_out_of_sight() {
        let mut counters = Counters::default();
        assert_eq!(counters.to_string(), "no records; no loss counted");
        counters.set_unseen(Err("--no-dump".into()));
        let text =
            "no records; no loss counted; nobody looked for connections out of sight: --no-dump";
        assert_eq!(counters.to_string(), text);
        assert_eq!(counters.unseen(), None);

        counters.set_unseen(unseen(1));
        let one = format!("no records; 1 live connection out of this source's sight {HELP}");
        assert_eq!(counters.to_string(), one);
        assert_eq!(counters.unseen(), Some(1));

        let unentered = Some("2 network namespaces could not be entered (EPERM)".to_owned());
        counters.set_unseen(Ok(Unseen { live: 0, unentered }));
        let text = "no records; no loss counted; 2 network namespaces could not be entered (EPERM)";
        assert_eq!(counters.to_string(), text);
    }

    #[test]
    fn losses_hide_nothing_that_is_unseen() {
        let mut counters = Counters::default();
        // A loss of something else than a beginning leaves no doubt.
        counters.lost(Loss::NetlinkOverrun, 3);
        counters.set_unseen(unseen(5));
        let text = format!(
            "no records; lost 3 (netlink_overrun); 5 live connections out of this source's sight \
             {HELP}"
        );
        assert_eq!(counters.to_string(), text);

        // These may have ended long ago.
        let mut counters = Counters::default();
        counters.lost(Loss::TableFull, 3);
        counters.set_unseen(unseen(0));
        assert_eq!(counters.to_string(), "no records; lost 3 (table_full)");
        for (live, connections) in [(1, "1 live connection"), (5, "5 live connections")] {
            counters.set_unseen(unseen(live));
            let text = format!(
                "no records; lost 3 (table_full); up to {connections} out of this source's sight \
                 {HELP}"
            );
            assert_eq!(counters.to_string(), text);
            assert_eq!(counters.unseen(), Some(live));
        }
    }
}
