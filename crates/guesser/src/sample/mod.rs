//! The experiments: the [`ground`] they run on, [`socket`]s whose every property we know, what is
//! done with them ([`tracked`], [`datagram`], [`stream`], [`route`]), in which order ([`plan`]), and the
//! [`camera`] that takes what the kernel sees of it.

pub mod camera;
pub mod datagram;
pub mod fire;
pub mod ground;
mod options;
pub mod plan;
pub mod route;
pub mod socket;
pub mod stream;
pub mod tracked;
