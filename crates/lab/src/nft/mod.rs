//! nf_tables without the `nft` program: a batch of tables, chains and rules that the kernel takes
//! whole or not at all. Only what a namespace of our own needs; no listing, sets or deletion,
//! since the namespace's end deletes everything.

mod batch;
mod expr;
mod uapi;

pub use batch::Base;
pub use batch::Batch;
pub use batch::ChainKind;
pub use batch::Error;
pub use batch::Family;
pub use batch::Hook;
pub use batch::Refused;
pub use expr::Compare;
pub use expr::CtKey;
pub use expr::Direction;
pub use expr::Expr;
pub use expr::Header;
pub use expr::MetaKey;
pub use expr::NatKind;
pub use expr::Register;
pub use expr::Value;
