//! What the scenes have in common: the laboratory of namespaces, programs under test as child
//! processes. Used by `tests/tests/*.rs` only.

pub mod lab;
pub mod oracle;
pub mod pipeline;
pub mod program;
pub mod watch;
