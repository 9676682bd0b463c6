//! Connection records: [`wire`] as they lie in the ring, [`flow`] as people and scripts read
//! them, [`status`] the kernel's `IPS_*` bits. Conversions are pure.

pub mod flow;
pub mod proto;
pub mod status;
pub mod wire;

pub use flow::Flow;
pub use wire::Record;
