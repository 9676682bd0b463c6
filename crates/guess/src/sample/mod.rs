//! The experiments: the [`ground`]s they run on ([`grounds`]), [`socket`]s whose every property we know
//! (`supply` opens them), what is done with them ([`tracked`], [`datagram`], [`stream`], [`route`]), in
//! which order ([`plan`]), and the [`camera`] that takes what the kernel sees of it.

pub mod address;
mod borrowed;
pub mod connection;
pub mod datagram;
pub mod fire;
pub mod live;
pub mod mark;
mod options;
pub mod pool;
pub mod round;
pub mod route;
pub mod sampler;
pub mod site;
pub mod sites;
pub mod socket;
pub mod stream;
pub mod tracking;
