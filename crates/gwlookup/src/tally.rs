//! Counts of a run, and the sentence they end in. Pure.

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
    /// Records that others lost, before they came here.
    pub lost: u64,
    /// Records of a later version, which were left out.
    pub unreadable: u64,
    routed: u64,
    by_destination: u64,
    unrouted: [u64; Unrouted::NAMES.len()],
}

impl Tally {
    /// Counts a record that tells of a loss. One that does not say how many tells of one at least.
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
            Err(why) => self.unrouted[why.index()] += 1,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            records,
            lost,
            unreadable,
            routed,
            by_destination,
            unrouted,
        } = self;
        write!(f, "{records} records: {routed} with a route")?;
        if *by_destination > 0 {
            write!(f, " ({by_destination} by destination alone)")?;
        }
        let without: u64 = unrouted.iter().sum();
        write!(f, ", {without} without")?;
        let reasons = Unrouted::NAMES.iter().zip(unrouted);
        for (place, (name, count)) in reasons.filter(|(_, count)| **count > 0).enumerate() {
            let opening = if place == 0 { " (" } else { ", " };
            write!(f, "{opening}{count} {name}")?;
        }
        if without > 0 {
            f.write_str(")")?;
        }
        write!(f, "; {lost} lost")?;
        if *unreadable > 0 {
            write!(f, "; {unreadable} of a later version left out")?;
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
    fn each_reason_is_told_apart() {
        let mut tally = Tally::default();
        assert_eq!(
            tally.to_string(),
            "0 records: 0 with a route, 0 without; 0 lost"
        );
        tally.record(Ok(&Route::without_way(RouteType::LOCAL, Basis::Whole)));
        tally.record(Ok(&Route::without_way(
            RouteType::LOCAL,
            Basis::Destination,
        )));
        tally.record(Err(&Unrouted::NetnsGone));
        tally.record(Err(&Unrouted::NetnsGone));
        tally.record(Err(&Unrouted::NoRoute));
        tally.loss(&Flow::loss(0, Loss::RingbufFull, 40));
        tally.unreadable += 1;
        assert_eq!(
            tally.to_string(),
            "5 records: 2 with a route (1 by destination alone), \
             3 without (1 no route, 2 namespace not found); 40 lost; 1 of a later version left out"
        );
    }
}
