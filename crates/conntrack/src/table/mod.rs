//! The NAT table: one entry per connection under its original tuple. [`wire`] is how entries lie
//! in the maps, [`entry`] turns records into them and back. No I/O here: the maps are in `bpf`.

pub mod entry;
pub mod wire;

pub use entry::Entry;
pub use entry::Key;
