//! How many records were reported and how many events were lost. Pure.

use std::fmt;

use shared::record::wire::Loss;
use shared::record::wire::kind;

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
}

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

/// `3 new, 2 destroy; nothing lost`.
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
        if self.losses() == 0 {
            return f.write_str("; nothing lost");
        }
        let mut separator = "; lost ";
        for (place, count) in self.by_place().filter(|(_, count)| *count > 0) {
            write!(f, "{separator}{count} ({})", place.name())?;
            separator = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_shows_records_and_losses() {
        let mut counters = Counters::default();
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
}
