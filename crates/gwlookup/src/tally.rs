//! Counts of a run, and the summary line they end in. Pure.

use std::collections::BTreeMap;
use std::fmt;

use shared::record::Flow;
use shared::record::flow::Type;

use crate::route::Basis;
use crate::route::Route;
use crate::unrouted::Unrouted;

/// What became of the records.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records of connections.
    pub records: u64,
    /// Records that were lost before they reached this program.
    pub lost: u64,
    /// Records of a newer version, which were skipped.
    pub unreadable: u64,
    routed: u64,
    by_destination: u64,
    unrouted: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Counts a record that reports a loss: as one at least, if it has no count.
    pub fn loss(&mut self, flow: &Flow) {
        debug_assert_eq!(flow.r#type, Type::Loss);
        self.lost += flow.count.unwrap_or(1);
    }

    /// Counts a record of a connection.
    pub fn record(&mut self, route: Result<&Route, &Unrouted>) {
        self.records += 1;
        match route {
            Ok(route) => {
                self.routed += 1;
                self.by_destination += u64::from(route.basis == Basis::Destination);
            }
            Err(why) => *self.unrouted.entry(why.name()).or_default() += 1,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records: {} with a route", self.records, self.routed)?;
        if self.by_destination > 0 {
            write!(f, " ({} by destination alone)", self.by_destination)?;
        }
        write!(f, ", {} without", self.records - self.routed)?;
        let reasons = self.unrouted.iter();
        let reasons: Vec<_> = reasons
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        if !reasons.is_empty() {
            write!(f, " ({})", reasons.join(", "))?;
        }
        write!(f, "; {} lost", self.lost)?;
        if self.unreadable > 0 {
            write!(f, "; {} of a newer version skipped", self.unreadable)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::RouteType;
    use shared::record::wire::Loss;

    #[test]
    fn each_reason_has_its_count() {
        let mut tally = Tally::default();
        assert_eq!(
            tally.to_string(),
            "0 records: 0 with a route, 0 without; 0 lost"
        );
        for basis in [Basis::Full, Basis::Destination] {
            tally.record(Ok(&Route::without_next_hop(RouteType::LOCAL, basis)));
        }
        tally.record(Err(&Unrouted::NetnsNotFound));
        tally.record(Err(&Unrouted::NetnsNotFound));
        tally.record(Err(&Unrouted::NoRoute));
        tally.loss(&Flow::loss(None, Loss::RingbufFull, 40));
        tally.unreadable += 1;
        assert_eq!(
            tally.to_string(),
            "5 records: 2 with a route (1 by destination alone), \
             3 without (2 namespace not found, 1 no route); 40 lost; 1 of a newer version skipped"
        );
    }
}
