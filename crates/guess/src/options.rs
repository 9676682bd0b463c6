//! What a caller can ask for.

use std::sync::Arc;

use crate::bpf::hook::Mechanism;
use crate::proven::Proven;
use crate::solve::verdict::Finding;

/// Returns whether to give up; called again and again while a measurement runs.
pub type Stopped = Arc<dyn Fn() -> bool + Send + Sync>;

/// How to measure. The default suits a caller that only wants offsets.
#[derive(Clone)]
pub struct Options {
    /// The kinds of hooks that may be used, in order of preference.
    pub mechanisms: Vec<Mechanism>,
    /// Whether the kernel may be made to load modules.
    pub allow_system_changes: bool,
    /// Whether [`Measurement::attempt`](crate::Measurement::attempt) keeps every byte of kernel memory that
    /// was read.
    pub keep_samples: bool,
    /// What an earlier run proved on this same kernel. If fresh connections confirm all of it, it is the
    /// result; else everything is measured again.
    pub known: Option<Known>,
    /// Ends the measurement early, with [`ErrorKind::Stopped`](crate::ErrorKind::Stopped).
    pub stopped: Stopped,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mechanisms: vec![Mechanism::Tracepoint, Mechanism::Kprobe],
            allow_system_changes: false,
            keep_samples: false,
            known: None,
            stopped: Arc::new(|| false),
        }
    }
}

/// What an earlier run proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The verdict on each field, with the evidence of that run.
    pub findings: Vec<Finding>,
    /// The proven offsets, including those of the pointers that lead to the fields.
    pub proven: Proven,
}
