//! The interface of every source of events. The pump knows sources only by it.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use shared::record::wire::Loss;
use shared::ring::layout::Source;

use crate::bpf::table::FlowTable;
use crate::sink::Sink;
use crate::unseen::Unseen;

/// Something that reports connections.
pub trait EventSource {
    /// What it is.
    fn kind(&self) -> Source;

    /// The table that it keeps in BPF maps, if it does.
    fn table(&mut self) -> Option<&mut FlowTable>;

    /// Reports every existing connection once, as a record of type `DUMP`.
    ///
    /// # Errors
    /// If the kernel cannot be asked; that is no reason to end.
    fn load(&mut self, sink: Sink<'_>) -> anyhow::Result<()>;

    /// Reports the events that have arrived, at most a few thousand; `false` if there were none.
    ///
    /// # Errors
    /// If events can no longer be read.
    fn take(&mut self, sink: Sink<'_>) -> anyhow::Result<bool>;

    /// Sleeps until there may be an event, `wake` is readable, or the time is over.
    ///
    /// # Errors
    /// If waiting is impossible.
    fn wait(&mut self, wake: BorrowedFd<'_>, at_most: Duration) -> anyhow::Result<()>;

    /// Does the periodic work that is due, and returns when more will be due.
    ///
    /// # Errors
    /// If the source cannot go on.
    fn maintain(&mut self, sink: Sink<'_>) -> anyhow::Result<Duration>;

    /// Counts the live connections that it has never reported. Called once, before the stream ends; what
    /// arrives meanwhile may be reported.
    ///
    /// # Errors
    /// If the kernel cannot be asked; that is no reason to fail.
    fn unseen(&mut self, sink: Sink<'_>) -> anyhow::Result<Unseen>;

    /// Events lost so far at one place.
    ///
    /// # Errors
    /// If the counters cannot be read.
    fn lost(&self, place: Loss) -> anyhow::Result<u64>;

    /// Ends the stream: what has happened can still be taken. `true` if a full buffer holds some of
    /// it back; take everything and call again.
    ///
    /// # Errors
    /// If what is held back cannot be reported.
    fn stop(&mut self) -> anyhow::Result<bool>;
}
