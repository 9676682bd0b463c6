//! Everything that uses libbpf: loading, attaching, maps. Skeleton types stay in here.

mod abi_check;
mod attached;
pub mod events;
pub mod hiding;
pub mod hooks;
pub mod libbpf;
pub mod pinned;
mod program_fd;
pub mod programs;
mod skel;
pub mod table;
