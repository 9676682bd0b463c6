//! Network namespaces: throwaway ones to experiment in, finding existing ones by inode number,
//! and doing something in one without moving the calling thread.

mod error;
mod find;
mod namespace;

pub use error::Error;
pub use find::all;
pub use find::find;
pub use namespace::Namespace;
pub use namespace::Visit;
