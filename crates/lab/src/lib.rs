//! A small tracked network in a namespace of one's own: connection tracking and NAT switched on
//! through nf_tables or the legacy iptables interface, and the check that this loads no module.
//! No BPF here, and no netlink protocol: that is `netlink`'s.

mod active;
pub mod modules;
pub mod nft;
mod rules;
mod tracking;
mod wish;
pub mod xtables;

pub use active::active_namespaces;
pub use active::tracks;
pub use active::tracks_here;
pub use rules::Address;
pub use rules::Rewrite;
pub use rules::Rules;
pub use tracking::MODULES;
pub use tracking::Part;
pub use tracking::conntrack_on;
pub use wish::Wish;
