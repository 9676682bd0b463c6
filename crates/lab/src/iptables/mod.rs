//! The legacy iptables back end (IPv4 only), for kernels without nf_tables. Needs no iptables program:
//! a table is bytes, and one socket option replaces it.

mod extension;
mod install;
mod replace;
mod rules;
mod table;

pub use install::MODULES;
pub use install::Refusal;
pub use rules::LegacyRules;
pub use rules::PacketMark;
