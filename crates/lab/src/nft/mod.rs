//! The nf_tables back end, without the `nft` program: a [`Ruleset`] becomes a batch of tables, chains
//! and rules that the kernel takes whole or not at all. Only what a namespace of our own needs; no
//! listing, sets or deletion, since everything ends with the namespace.

mod batch;
mod expr;
mod install;
mod nat_request;
mod ruleset;
mod uapi;

pub use batch::Base;
pub use batch::Batch;
pub use batch::Error;
pub use batch::Refused;
pub use expr::Compare;
pub use expr::CtKey;
pub use expr::Expr;
pub use expr::Family;
pub use expr::Header;
pub use expr::MetaKey;
pub use expr::NatKind;
pub use expr::Register;
pub use expr::Value;
pub use install::MODULES;
pub use nat_request::NatRequest;
pub use ruleset::Address;
pub use ruleset::Rewrite;
pub use ruleset::Ruleset;
