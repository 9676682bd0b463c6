//! What Sextant's four programs share: everything that crosses a process border, and the few system facts
//! that at least two of them need. Has no BPF, and no logic of a single tool.

pub mod atomic_file;
pub mod capability;
pub mod cli;
pub mod clock;
pub mod escape;
pub mod exit;
mod fnv1a;
pub mod kernel;
pub mod line;
pub mod lockdown;
mod numbered;
pub mod offsets;
pub mod record;
pub mod ring;
pub mod sealed;
pub mod stop;
