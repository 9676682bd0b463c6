//! Network namespaces: throwaway ones to experiment in, finding existing ones by inode number,
//! and doing something in one without moving the calling thread.

mod active;
mod error;
mod find;
mod namespace;
mod rules;
mod tracking;
mod wish;

pub use active::active_namespaces;
pub use active::tracks;
pub use active::tracks_here;
pub use error::Error;
pub use find::all;
pub use find::find;
pub use namespace::Namespace;
pub use namespace::Visit;
pub use rules::Address;
pub use rules::Rewrite;
pub use rules::Rules;
pub use tracking::MODULES;
pub use tracking::Part;
pub use tracking::conntrack_on;
pub use wish::Wish;
