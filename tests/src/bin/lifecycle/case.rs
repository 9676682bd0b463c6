//! What a case is.

use crate::bench::Bench;

/// One situation and what must come of it.
pub struct Case {
    pub name: &'static str,
    pub run: fn(&mut Bench) -> anyhow::Result<()>,
}

/// The cases of a file: its functions.
macro_rules! cases {
    ($($name:ident)*) => {
        pub const CASES: &[crate::case::Case] = &[$(crate::case::Case {
            name: stringify!($name),
            run: $name,
        }),*];
    };
}
pub(crate) use cases;

/// Entries of the table that is small.
pub const SMALL: u32 = 4;
