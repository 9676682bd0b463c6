//! The differential test: seeded random flows of many kinds through one router; what `conntrack` reports of them is
//! compared with `conntrack -E` of conntrack-tools, and both with what the generator did.
//!
//! `kinds` makes the flows in `world`, with `sockets` and `servers`, and says what must have come of each (`said`).
//! `tools` and `ours` read the two streams as `event`s, `lives` makes connections of them, `compare` compares; these
//! are pure. `visible` is the table of what each source cannot see. `run` does it all once.

pub mod compare;
#[cfg(test)]
mod compare_tests;
pub mod difference;
pub mod event;
pub mod flow;
pub mod in_guest;
pub mod kind;
pub mod kinds;
pub mod lives;
mod ours;
pub mod plan;
pub mod report;
pub mod run;
pub mod said;
mod scene;
mod servers;
mod sockets;
mod streams;
mod tools;
pub mod visible;
mod world;
