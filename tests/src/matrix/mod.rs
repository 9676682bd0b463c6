//! The kernel matrix: what is tried on which kernels ([`kernels`]), what is true there ([`truth`]),
//! a run of one kernel ([`examine`]), the verdict on it ([`judge`], [`outcome`]), what of it no longer
//! holds ([`stale`]), and the page that tells of all ([`page`]). All but `examine` and `store` are values in, values out.

pub mod condition;
pub mod examine;
pub mod judge;
pub mod kernels;
pub mod outcome;
pub mod page;
pub mod stale;
pub mod store;
pub mod truth;
