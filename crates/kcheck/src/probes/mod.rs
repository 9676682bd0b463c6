//! The probes themselves. Each function tries one thing, cleans up after itself, and returns what it saw
//! or the obstacle that it met. `judge` and `outcome` decide what that means.

mod btf;
mod ctnetlink;
mod examination;
mod files;
mod hooks;
mod loading;
mod loopback;
mod maps;
mod memlock;
mod network;
mod permissions;
mod programs;
mod token;
mod tracking;

pub use examination::all;
