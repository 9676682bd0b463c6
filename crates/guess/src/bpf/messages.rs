//! What libbpf says goes to the log while a measurement runs. The callback is one for the whole process, so
//! that of the caller is put back afterwards.

use libbpf_rs::PrintCallback;
use libbpf_rs::PrintLevel;
use libbpf_rs::set_print;

/// Sends libbpf's messages to the log until it is dropped.
#[must_use = "the caller's callback comes back when this is dropped"]
pub struct MessagesToLog(Option<(PrintLevel, PrintCallback)>);

impl MessagesToLog {
    /// From now on.
    pub fn start() -> Self {
        Self(set_print(Some((PrintLevel::Debug, |level, text| {
            let level = match level {
                PrintLevel::Debug => log::Level::Trace,
                PrintLevel::Info | PrintLevel::Warn => log::Level::Debug,
            };
            log::log!(level, "{}", text.trim_end());
        }))))
    }
}

impl Drop for MessagesToLog {
    fn drop(&mut self) {
        set_print(self.0.take());
    }
}
