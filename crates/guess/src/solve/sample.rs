//! What the solver is given: per sample what each place must hold, and the bytes that were there.

use std::time::Duration;

use bincode::Decode;
use bincode::Encode;

use crate::fields::Event;
use crate::fields::Place;
use crate::path::AccessPath;

/// What a place must hold in one sample.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Expected {
    /// These bytes, as they lie in memory.
    Bytes {
        /// The bytes.
        bytes: Vec<u8>,
        /// What they are worth.
        worth: Worth,
    },
    /// A `u32` whose upper bits are known.
    Shifted {
        /// What it is after the shift.
        value: u32,
        /// Bits that are shifted out.
        shift: u32,
        /// What it is worth.
        worth: Worth,
    },
    /// The address of an object, with a tag in its low bits. All that is known of the address
    /// is that it belongs to one object: the same in all samples of this object, and in no other.
    Object {
        /// Number of the object.
        id: u64,
        /// The tag.
        tag: u64,
    },
    /// No address, whatever the tag.
    Null,
    /// An address of which nothing is known.
    Address,
    /// The address of the object that led here.
    Back,
    /// A `u16`: where in the buffer behind the way certain bytes begin, and some bytes further.
    Index {
        /// The bytes.
        landmark: Vec<u8>,
        /// How much further.
        further_bytes: i32,
        /// Bits that it is worth if it is not what it was before.
        bits: u32,
    },
    /// A `u32` of jiffies, so many seconds ahead of the kernel's clock.
    Deadline {
        /// The seconds.
        ahead_s: u32,
        /// Between which two moments the clock was read.
        between: (Duration, Duration),
    },
}

/// How surprising a value is: a place that is not the field holds it with a probability of at most
/// 2^-bits, even if it holds something of the same nature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Worth {
    /// The value was drawn for this sample; a place cannot hold it for the reason that it held it
    /// before.
    Drawn(u32),
    /// The value may have been there before, so it counts once.
    Given(u32),
}

/// The readable bytes of one struct in a sample, from its start to the first gap; none if the way
/// led nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct View {
    /// How it was reached.
    pub path: AccessPath,
    /// Where it was; 0 if nowhere.
    pub address: u64,
    /// Where the struct was that led to it.
    pub parent_address: u64,
    /// What was there.
    pub bytes: Vec<u8>,
}

/// What each place must hold; one that is not here was not determined.
pub type Expectations = Vec<(Place, Expected)>;

/// One event of which it is certain that we caused it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Sample {
    /// What it was, for people.
    pub name: String,
    /// What kind of event.
    pub event: Event,
    /// What must be there.
    pub expected: Expectations,
    /// What was captured.
    pub views: Vec<View>,
}

impl Sample {
    /// Whether each pointer along a way is known to lead somewhere: else nothing is expected there.
    #[must_use]
    pub fn leads_along(&self, path: &AccessPath) -> bool {
        leads_along(&self.expected, path)
    }

    /// What was captured along a way.
    #[must_use]
    pub fn view(&self, path: &AccessPath) -> Option<&View> {
        self.views.iter().find(|view| view.path == *path)
    }
}

/// Whether each pointer along a way must lead somewhere.
#[must_use]
pub fn leads_along(expected: &Expectations, path: &AccessPath) -> bool {
    path.steps.iter().all(|step| {
        expected.iter().any(|(place, expected)| {
            *place == step.pointer
                && matches!(expected, Expected::Object { .. } | Expected::Address)
        })
    })
}
