//! The modules of `guesser`. A library only so that what reads foreign bytes can be fuzzed (`fuzz/`):
//! public is what a fuzz target calls, and what `main` runs.

pub mod btf;
mod cache;
mod cli;
mod emit;
mod explain;
mod place_file;
pub mod replay;
mod run;
mod terminal;

pub use run::run;
