//! Everything that knows libbpf: loading, attaching, maps. Skeleton types stay in here.

pub mod events;
pub mod losses;
pub mod pinned;
pub mod programs;
pub mod skel;
pub mod sweep;
pub mod table;
mod wire;

use libbpf_rs::ErrorKind;
use libbpf_rs::PrintLevel;

pub use events::Events;
pub use losses::Losses;
pub use programs::Hook;
pub use programs::Object;
pub use programs::Programs;
pub use programs::Settings;
pub use table::FlowTable;

/// Sends libbpf's own messages, the verifier's complaints among them, to the log at debug level.
pub fn log_through_us() {
    libbpf_rs::set_print(Some((PrintLevel::Warn, |_, text| {
        for line in text.lines() {
            log::debug!("libbpf: {line}");
        }
    })));
}

/// Was it refused for want of permission?
pub fn is_denied(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<libbpf_rs::Error>())
        .any(|error| error.kind() == ErrorKind::PermissionDenied)
}
