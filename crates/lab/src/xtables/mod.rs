//! Connection tracking and NAT through the legacy iptables interface (IPv4), for kernels without
//! nf_tables. No iptables program is needed: a table is bytes, and one socket option replaces it.

mod extension;
mod replace;
mod rules;
mod table;
mod tracking;

pub use rules::Choice;
pub use rules::Rules;
pub use tracking::MODULES;
pub use tracking::Refusal;
pub use tracking::conntrack_on;
