//! What the scenes have in common: the laboratory of namespaces, programs under test as child
//! processes, guests with other kernels, the matrix of these, and the tree itself. Used by `tests/` only.

pub mod guest;
pub mod lab;
pub mod matrix;
pub mod oracle;
pub mod pipeline;
pub mod program;
pub mod tree;
pub mod watch;
pub mod witness;
