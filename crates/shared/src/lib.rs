//! What Sextant's four programs share: everything that crosses a process border, and the few
//! system facts that at least two of them need. No BPF here, and no tool's own logic.

pub mod capability;
pub mod cli;
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
