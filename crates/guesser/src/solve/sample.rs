//! What the solver is given: per sample what each field must hold, and the bytes that were there.

use shared::offsets::Field;

use crate::way::Way;

/// What a field must hold in one sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// These bytes, as they lie in memory.
    Bytes {
        /// The bytes.
        bytes: Vec<u8>,
        /// How surprising they are: a place that is not the field holds them with a probability
        /// of at most 2^-bits, even if it holds something of the same nature.
        bits: u32,
    },
    /// The address of an object, with a tag in its low bits. All that is known of the address
    /// is that it belongs to one object: the same in all samples of this object, and in no other.
    Object {
        /// Number of the object.
        id: u64,
        /// The tag.
        tag: u64,
    },
}

/// The readable bytes of one struct in a sample, from its start to the first gap; none if the way
/// led nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// How it was reached.
    pub way: Way,
    /// What was there.
    pub bytes: Vec<u8>,
}

/// One event of which it is certain that we caused it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// What each field must hold; a field that is not here was not determined.
    pub expected: Vec<(Field, Expected)>,
    /// What was captured.
    pub views: Vec<View>,
}
