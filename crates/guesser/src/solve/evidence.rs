//! How much the matches of a field prove: bits of surprise, each distinct value counted once,
//! less what the number of searched places gives away.

use std::collections::HashSet;

/// A field is proven from here on: one wrong place in 2^40 searches.
pub const ENOUGH_BITS: u32 = 40;

/// What the samples of one field are worth.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    values: HashSet<Vec<u8>>,
    surprise_bits: u32,
    places: usize,
}

impl Evidence {
    /// Notes among how many places the field was searched.
    pub fn searched(&mut self, places: usize) {
        self.places = self.places.max(places);
    }

    /// Counts a value. A value seen before proves nothing new: whatever held it then by chance may
    /// simply not have changed.
    pub fn add(&mut self, value: &[u8], bits: u32) {
        if !self.values.contains(value) {
            self.values.insert(value.to_vec());
            self.surprise_bits += bits;
        }
    }

    /// The surprise less the search.
    #[must_use]
    pub fn net_bits(&self) -> u32 {
        self.surprise_bits.saturating_sub(self.search_bits())
    }

    /// Among how many places the field was searched.
    #[must_use]
    pub fn places(&self) -> usize {
        self.places
    }

    /// Bits that the search gives away.
    #[must_use]
    pub fn search_bits(&self) -> u32 {
        search_bits(self.places)
    }

    /// Number of distinct values.
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.values.len()
    }
}

/// Bits that a choice among so many places gives away: the logarithm, rounded up.
fn search_bits(places: usize) -> u32 {
    places.next_power_of_two().trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_distinct_values_count_and_the_search_is_paid() {
        let mut evidence = Evidence::default();
        evidence.searched(256);
        for value in [[1], [1], [2]] {
            evidence.add(&value, 30);
        }
        assert_eq!((evidence.net_bits(), evidence.distinct()), (52, 2));
    }

    #[test]
    fn a_search_costs_its_logarithm() {
        let bits: Vec<u32> = [0, 1, 2, 3, 64, 65].map(search_bits).to_vec();
        assert_eq!(bits, [0, 0, 1, 2, 6, 7]);
    }
}
