//! The questions themselves. Each function tries one thing, cleans up after itself, and says what
//! it saw or what stood in its way; what that means is decided in `judge` and `outcome`.

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
mod privileged;
mod programs;
mod token;
mod tracking;

pub use examination::all;
