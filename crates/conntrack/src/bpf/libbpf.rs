//! libbpf's own messages and errors.

use libbpf_rs::ErrorKind;
use libbpf_rs::PrintLevel;

/// Sends libbpf's messages, those of the verifier included, to the log at debug level.
pub fn log_messages() {
    libbpf_rs::set_print(Some((PrintLevel::Warn, |_, text| {
        for line in text.lines() {
            log::debug!("libbpf: {line}");
        }
    })));
}

/// Did it fail because a permission is missing?
pub fn is_denied(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<libbpf_rs::Error>())
        .any(|error| error.kind() == ErrorKind::PermissionDenied)
}
