//! What the scenes share: a testbed of namespaces, programs that run on it, guests with other
//! kernels, the matrix of these, and the source tree itself. Used by `tests/` only.

pub mod asked;
pub mod differential;
pub mod guest;
pub mod inside;
pub mod ledger;
pub mod matrix;
pub mod oracle;
pub mod pipeline;
pub mod records;
pub mod run;
pub mod testbed;
pub mod tree;
pub mod watch;
