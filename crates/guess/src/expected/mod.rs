//! What each place must hold, computed only from what we did. Sampling and verification both take it
//! from here. Pure.

pub mod connection;
pub mod packet;
pub mod route;
pub mod socket;
mod value;

pub use value::Ends;
