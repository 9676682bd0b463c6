//! Single entries of the kernel's connection table, found, added, changed and deleted through ctnetlink,
//! and the family's numbers. Parses no dumps and no events.

mod entry;
mod request;
mod tuple;
mod uapi;

pub use entry::Entry;
pub use request::Change;
pub use request::change;
pub use request::delete;
pub use request::find;
pub use request::insert;
pub use tuple::Tuple;
pub use uapi::CTA_COUNTERS_BYTES;
pub use uapi::CTA_COUNTERS_PACKETS;
pub use uapi::CTA_STATS_GLOBAL_ENTRIES;
pub use uapi::CTA_TIMESTAMP_START;
pub use uapi::DELETE;
pub use uapi::GET;
pub use uapi::GET_STATS;
pub use uapi::NEW;
pub use uapi::cta;
pub use uapi::cta_tuple;
pub use uapi::status;

/// Modules that the kernel loads for a request of this family if they are absent.
pub const MODULES: &[&str] = &["nfnetlink", "nf_conntrack", "nf_conntrack_netlink"];
