//! What the comparison can find, each with the flow that shows it.

use std::fmt;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// conntrack-tools and the generator disagree: the test itself is broken.
    Oracle,
    /// A connection that was none.
    Invented,
    /// A connection of which nothing is reported.
    Missed,
    /// Fewer connections than the tuple had.
    Merged,
    /// A connection that is reported twice.
    Doubled,
    /// Another order than the kernel's.
    Reordered,
    /// Another reply direction than the kernel's.
    Translation,
    /// `nat` does not fit the two tuples.
    Nat,
    /// The kernel had not confirmed it.
    Unconfirmed,
    /// An id of two connections.
    Id,
    /// A beginning is missing.
    Beginning,
    /// An end is missing.
    End,
    /// Another status at the end, or none where the source must have it.
    Status,
    /// A loss is counted where nobody else makes connections: none was lost, or one that we must see was.
    Loss,
    /// Another mark at the end, or none where the source must have it.
    Mark,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What.
    pub fault: Fault,
    /// The number of the flow, if it is one of ours.
    pub flow: Option<usize>,
    /// The kind of the flow.
    pub kind: &'static str,
    /// Which connection, and both accounts of it.
    pub detail: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = format!("{:?}", self.fault).to_lowercase();
        match self.flow {
            Some(flow) => write!(out, "{fault}: {} (flow {flow}): {}", self.kind, self.detail),
            None => write!(out, "{fault}: {}", self.detail),
        }
    }
}
