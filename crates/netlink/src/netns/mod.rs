//! Network namespaces: creates throwaway ones, opens existing ones by path or inode number, and runs
//! code in one without moving the calling thread.

mod error;
mod find;
mod namespace;
mod place;

pub use error::Error;
pub use find::Survey;
pub use find::all;
pub use find::find;
pub use find::full_survey;
pub use find::survey;
pub use namespace::Namespace;
pub use namespace::Visit;
pub use place::Place;
