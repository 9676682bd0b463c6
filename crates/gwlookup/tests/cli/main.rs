//! The program as a black box: what it prints, says and ends with. Root's own machine is left
//! alone: rings lie in directories of their own, routes in namespaces of their own.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

mod get;
mod lines;
mod privileges;
mod program;
mod ring;
mod ring_end;
mod ring_hostile;
mod routing;
mod scene;
mod usage;
