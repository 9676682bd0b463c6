//! The solver's input: for each sample what each place must hold, and the bytes that were there.

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
        /// How surprising they are.
        worth: Worth,
    },
    /// A `u32` whose upper bits are known.
    Shifted {
        /// The value after the shift.
        value: u32,
        /// How many bits are shifted out.
        shift: u32,
        /// How surprising it is.
        worth: Worth,
    },
    /// The address of an object, with a tag in its low bits. All that is known about the address is that
    /// all samples of this object share it, and no sample of another object has it.
    Object {
        /// The number of the object.
        id: u64,
        /// The tag.
        tag: u64,
    },
    /// No address, whatever the tag.
    Null,
    /// Any address.
    Address,
    /// The address of the object that led here.
    Back,
    /// A `u16`: an index into the buffer at the end of the path, at a distance from certain bytes.
    Index {
        /// The bytes.
        landmark: Vec<u8>,
        /// The distance from their beginning.
        further_bytes: i32,
        /// Its surprise in bits, if it differs from the sample before.
        bits: u32,
    },
    /// A `u32` of jiffies, ahead of the kernel's clock.
    Deadline {
        /// How many seconds ahead.
        ahead_s: u32,
        /// The two moments between which the kernel read the clock.
        between: (Duration, Duration),
    },
}

/// How surprising a value is: a place that is not the field holds it with a probability of at most
/// 2^-bits, even if it holds something of the same nature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Worth {
    /// The value was drawn for this sample, so it counts each time.
    Drawn(u32),
    /// The value may have been there before, so it counts once.
    Given(u32),
}

/// The readable bytes of one struct in a sample, up to the first gap; none if the path led nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct View {
    /// How it was reached.
    pub path: AccessPath,
    /// Its address; 0 if the path led nowhere.
    pub address: u64,
    /// The address of the struct that led to it.
    pub parent_address: u64,
    /// What was there.
    pub bytes: Vec<u8>,
}

/// What each place must hold. Nothing is known about a place that is not listed.
pub type Expectations = Vec<(Place, Expected)>;

/// One event that we certainly caused.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Sample {
    /// A description for people.
    pub name: String,
    /// The kind of event.
    pub event: Event,
    /// What must be there.
    pub expected: Expectations,
    /// What was captured.
    pub views: Vec<View>,
}

impl Sample {
    /// What was captured at the end of a path.
    #[must_use]
    pub fn view(&self, path: &AccessPath) -> Option<&View> {
        self.views.iter().find(|view| view.path == *path)
    }
}

/// Whether each pointer along a path must hold an address; else nothing is expected at its end.
#[must_use]
pub fn leads_along(expected: &Expectations, path: &AccessPath) -> bool {
    path.steps.iter().all(|step| {
        expected.iter().any(|(place, expected)| {
            *place == step.pointer
                && matches!(expected, Expected::Object { .. } | Expected::Address)
        })
    })
}
