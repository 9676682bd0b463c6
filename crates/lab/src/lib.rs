//! A small tracked network in its own network namespace: switches connection tracking and NAT on
//! through nf_tables or legacy iptables, and checks beforehand that this loads no module. No BPF
//! here, and no netlink protocol: that is `netlink`'s.
//!
//! Both back ends work alike: a description of what connections should have ([`nft::Ruleset`],
//! [`iptables::LegacyRules`]) has an `install`, which returns each [`Part`] that the kernel refused.
//! Each back end lists the modules it needs, for [`modules::Modules::would_load`].

mod detect;
mod hook;
pub mod iptables;
pub mod modules;
pub mod nft;
mod part;

pub use detect::tracking_namespaces;
pub use detect::tracks;
pub use detect::tracks_here;
pub use hook::Hook;
pub use part::Part;
