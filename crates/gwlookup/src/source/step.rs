//! What every source of records offers, and the wait that they share.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use serde_json::Map;
use serde_json::Value;
use shared::record::Flow;

/// What a source returns.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one exists at a time, on the stack; a box would cost each record an allocation"
)]
pub enum Step {
    /// A record of a connection or of a loss, and the unknown keys of its line.
    Record(Flow, Map<String, Value>),
    /// A record that this version cannot read.
    Unreadable,
    /// No record for now.
    Idle,
    /// The end of the stream.
    End,
}

/// A stream of records.
pub trait Source {
    /// The next record, without waiting.
    ///
    /// # Errors
    /// If the stream is broken here; all earlier records have been returned.
    fn step(&mut self) -> anyhow::Result<Step>;

    /// Waits until there may be a record, a stop is requested, or the time is over.
    fn wait(&mut self, at_most: Duration);
}

/// Waits until one of the descriptors is readable; `false` if the time was over first.
pub(super) fn wait_readable(fds: &[BorrowedFd<'_>], at_most: Duration) -> bool {
    let mut fds: Vec<PollFd<'_>> = fds
        .iter()
        .map(|fd| PollFd::new(*fd, PollFlags::POLLIN))
        .collect();
    // A signal ends the wait early; the caller looks at its flag in any case.
    let timeout = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX);
    poll(&mut fds, timeout).is_ok_and(|ready| ready > 0)
}
