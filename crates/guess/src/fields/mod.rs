//! What can be measured: which struct contains each field, how the field is aligned, and what a
//! pointer leads to. The solver, the read plans and the BTF cross-check take every kernel fact from
//! this table. It holds no offsets and no order of search: the order follows from the pointers.

mod graph;
mod place;
mod spec;
mod structs;
mod table;

pub use graph::needed;
pub use place::Place;
pub use spec::Content;
pub use spec::Experiment;
pub use spec::Spec;
pub use structs::Event;
pub use structs::Struct;
pub use table::SPECS;
