//! The kernel matrix: which kernels are tried and how ([`kernels`]), where their fields really are ([`layout`]),
//! the runs on one kernel ([`examine`]), the verdict on them ([`judge`], [`outcome`]), which results are out of
//! date ([`stale`]), and the page that shows all ([`page`]). Only `examine` and `store` do more than compute.

pub mod condition;
pub mod examine;
pub mod judge;
pub mod kernels;
pub mod layout;
pub mod outcome;
pub mod page;
pub mod stale;
pub mod store;
