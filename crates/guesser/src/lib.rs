//! The modules of `guesser`. It is a library only so that fuzz targets (`fuzz/`) can call the readers of
//! foreign bytes: public is what they call, and what `main` runs.

pub mod btf;
mod cache;
mod cli;
mod emit;
mod explain;
pub mod replay;
mod results;
mod run;
mod terminal;

pub use run::run;
