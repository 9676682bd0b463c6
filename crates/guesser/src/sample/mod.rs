//! The experiment itself: [`namespaces`] to run in, [`flow`]s whose every property we know, and
//! [`capture`]s of the kernel's view of them.

pub mod capture;
pub mod flow;
pub mod namespaces;
