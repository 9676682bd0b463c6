//! Where records come from: the ring, or lines of JSON. Both return one record at a time and never
//! wait by themselves, so that the caller can flush its output first.

pub mod lines;
pub mod ring;
mod step;

pub use step::Source;
pub use step::Step;
