//! How much the matches of a place prove: their surprise in bits, less the cost of the search, which grows
//! with the number of searched offsets. A value that may have been there before counts once.

use std::collections::BTreeMap;

use super::sample::Worth;

/// A field is proven from here on: one in 2^40 searches finds a wrong place by chance.
pub const ENOUGH_BITS: u32 = 40;

/// The evidence of the samples of one place.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    given: BTreeMap<Vec<u8>, u32>,
    given_bits: u32,
    drawn_bits: u32,
    places: usize,
}

impl Evidence {
    /// Notes among how many offsets the place was searched.
    pub fn searched(&mut self, places: usize) {
        self.places = self.places.max(places);
    }

    /// Counts a value. A value that may have been there before proves nothing new when it repeats.
    pub fn add(&mut self, value: &[u8], worth: Worth) {
        match worth {
            Worth::Drawn(bits) => self.drawn_bits += bits,
            Worth::Given(bits) => self.give(value, bits),
        }
    }

    /// Counts what another search for the same place has seen.
    pub fn join(&mut self, other: &Self) {
        self.searched(other.places);
        self.drawn_bits += other.drawn_bits;
        for (value, bits) in &other.given {
            self.give(value, *bits);
        }
    }

    fn give(&mut self, value: &[u8], bits: u32) {
        if !self.given.contains_key(value) {
            self.given.insert(value.to_vec(), bits);
            self.given_bits += bits;
        }
    }

    /// The surprise less the cost of the search.
    #[must_use]
    pub fn net_bits(&self) -> u32 {
        (self.given_bits + self.drawn_bits).saturating_sub(self.search_bits())
    }

    /// Among how many offsets the place was searched.
    #[must_use]
    pub fn places(&self) -> usize {
        self.places
    }

    /// The cost of the search in bits.
    #[must_use]
    pub fn search_bits(&self) -> u32 {
        search_bits(self.places)
    }

    /// The number of distinct given values.
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.given.len()
    }
}

/// The cost of a choice among this many places: the logarithm, rounded up.
fn search_bits(places: usize) -> u32 {
    places.next_power_of_two().trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_counts_once_and_what_was_drawn_each_time() {
        let mut evidence = Evidence::default();
        evidence.searched(256);
        for value in [[1], [1], [2]] {
            evidence.add(&value, Worth::Given(30));
        }
        assert_eq!((evidence.net_bits(), evidence.distinct()), (52, 2));
        evidence.add(&[1], Worth::Drawn(3));
        evidence.add(&[1], Worth::Drawn(3));
        assert_eq!(evidence.net_bits(), 58);
    }

    #[test]
    fn two_searches_for_one_field_count_a_value_once() {
        let mut one = Evidence::default();
        one.searched(4);
        one.add(&[1], Worth::Given(30));
        let mut other = Evidence::default();
        other.searched(16);
        other.add(&[1], Worth::Given(30));
        other.add(&[2], Worth::Given(30));
        one.join(&other);
        assert_eq!(one.net_bits(), 56);
    }

    #[test]
    fn a_search_costs_its_logarithm() {
        let bits: Vec<u32> = [0, 1, 2, 3, 64, 65].map(search_bits).to_vec();
        assert_eq!(bits, [0, 0, 1, 2, 6, 7]);
    }
}
