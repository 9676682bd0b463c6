//! The experiments: the [`ground`]s they run on ([`grounds`]), [`socket`]s whose every property we know
//! (`supply` opens them), what is done with them ([`tracked`], [`datagram`], [`stream`], [`route`]), in
//! which order ([`plan`]), and the [`camera`] that takes what the kernel sees of it.

pub mod camera;
pub mod datagram;
pub mod fire;
mod found;
pub mod ground;
pub mod grounds;
mod options;
pub mod plan;
pub mod route;
pub mod socket;
pub mod stream;
mod supply;
pub mod tracked;
pub mod tracking;
