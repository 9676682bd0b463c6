//! The modules of `guesser`. A library only so that what reads foreign bytes can be fuzzed (`fuzz/`):
//! public is what a fuzz target calls, and what `main` runs.

mod absence;
mod bpf;
pub mod btf;
mod cache;
mod cli;
mod descriptors;
mod emit;
mod expected;
mod experiment;
mod explain;
mod fields;
mod file;
mod guess;
mod ladder;
mod linear_map;
mod privilege;
mod progress;
mod proven;
mod random;
pub mod replay;
mod run;
mod sample;
mod solve;
mod terminal;
mod timing;
mod verify;
mod watch;
mod way;

pub use run::run;
