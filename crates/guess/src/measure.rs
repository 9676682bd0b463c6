//! Starts a measurement on a thread of its own and returns its result. No experiment is here.

use std::fmt;
use std::panic;
use std::sync::Arc;
use std::thread;
use std::thread::JoinHandle;

use anyhow::Context as _;
use shared::exit::Failure;
use shared::offsets::Field;

use crate::descriptors;
use crate::experiment;
use crate::measurement::Measurement;
use crate::options::Options;
use crate::privilege;
use crate::timing::Timing;

/// Why nothing was measured. Its text names what was tried and what the kernel answered.
#[derive(thiserror::Error)]
#[error("{cause:#}")]
pub struct Error {
    kind: ErrorKind,
    cause: anyhow::Error,
}

/// The kinds of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A privilege is missing.
    Privilege,
    /// This kernel cannot do it.
    Kernel,
    /// [`Options::stopped`] asked for it.
    Stopped,
    /// Anything else.
    Failed,
}

impl Error {
    /// The kind of this error.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The whole chain of causes. One of them is the [`Failure`] that determined the kind.
    #[must_use]
    pub fn into_cause(self) -> anyhow::Error {
        self.cause
    }

    fn new(cause: anyhow::Error, is_stopped: bool) -> Self {
        let kind = match cause.downcast_ref() {
            // A stop interrupts system calls: whatever they failed with is its consequence.
            _ if is_stopped => ErrorKind::Stopped,
            Some(Failure::Privilege(_)) => ErrorKind::Privilege,
            Some(Failure::Kernel(_)) => ErrorKind::Kernel,
            _ => ErrorKind::Failed,
        };
        Self { kind, cause }
    }
}

impl fmt::Debug for Error {
    /// The text, not a backtrace: this is what `fn main() -> Result<_, Error>` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

/// A measurement that is running on a thread of its own. Without [`finish`](Self::finish) the thread goes on
/// by itself; a process that ends meanwhile may leave entries of its own in the tables of a namespace that
/// it borrowed.
#[derive(Debug)]
#[must_use = "the measurement is only over when it is finished"]
pub struct Running(JoinHandle<Result<Measurement, Error>>);

impl Running {
    /// Waits for it.
    ///
    /// # Errors
    /// As [`measure`].
    pub fn finish(self) -> Result<Measurement, Error> {
        let finished = self.0.join();
        finished.unwrap_or_else(|payload| panic::resume_unwind(payload))
    }
}

/// Starts to measure these fields on a thread of its own. Only that thread enters namespaces and drops
/// capabilities; the caller may drop its own meanwhile.
///
/// # Errors
/// If a privilege is missing, or no thread can be started.
pub fn start(fields: &[Field], options: Options) -> Result<Running, Error> {
    let timing = Timing::start();
    let failed = |error| Error::new(error, false);
    privilege::check().map_err(|failure| failed(failure.into()))?;
    descriptors::reserve();
    let fields = fields.to_vec();
    let run = move || {
        let stopped = Arc::clone(&options.stopped);
        let measured = experiment::run(&fields, options, timing);
        let is_stopped = stopped();
        match measured {
            Ok(_) if is_stopped => Err(anyhow::anyhow!("stopped before the end")),
            measured => measured,
        }
        .map_err(|error| Error::new(error, is_stopped))
    };
    let thread = thread::Builder::new().name("measure".into()).spawn(run);
    thread
        .context("start a thread")
        .map(Running)
        .map_err(failed)
}

/// Measures these fields on the running kernel.
///
/// # Errors
/// If the kernel refuses or something fails. An ambiguous or missing field is no error: its
/// [`Finding`](crate::solve::verdict::Finding) says so, and why.
pub fn measure(fields: &[Field], options: Options) -> Result<Measurement, Error> {
    start(fields, options)?.finish()
}
