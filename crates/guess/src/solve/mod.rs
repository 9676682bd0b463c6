//! The solver: drops every candidate that disagrees with a sample, searches behind a pointer once few of
//! its candidates are left, and never picks one of several. Pure: no I/O, no kernel, no clock.
//!
//! [`Solver`] runs the searches, [`search`] is the search for one place, [`evidence`] weighs its matches,
//! and [`verdict`] says what is proven.

pub mod addresses;
pub mod bytes;
pub mod candidates;
pub mod clock;
pub mod evidence;
pub mod sample;
pub mod search;
mod solver;
pub mod verdict;

#[cfg(test)]
mod tests;

pub use solver::Solver;
