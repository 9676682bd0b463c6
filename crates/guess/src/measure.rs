//! The library's border: what a caller asks for, the thread that measures it, and what comes back.
//! No experiment is here.

use std::io;
use std::panic;
use std::sync::Arc;
use std::thread;
use std::thread::JoinHandle;

use shared::exit::Failure;
use shared::kernel::KernelIdentity;
use shared::offsets::Document;
use shared::offsets::Field;
use shared::offsets::FieldResult;
use shared::offsets::Status;

use crate::attempt::Attempt;
use crate::bpf::hook::Mechanism;
use crate::descriptors;
use crate::experiment;
use crate::privilege;
use crate::proven::Proven;
use crate::solve::verdict::Finding;
use crate::timing::Timing;

/// Asked again and again while a measurement runs: whether to give up.
pub type Stopped = Arc<dyn Fn() -> bool + Send + Sync>;

/// How to measure. The default suits a caller who only wants offsets.
#[derive(Clone)]
pub struct Options {
    /// What may be hooked, in this order of preference.
    pub mechanisms: Vec<Mechanism>,
    /// Whether the kernel may be made to load modules.
    pub allow_system_changes: bool,
    /// Whether [`Measurement::attempt`] keeps every byte that was read: kernel memory.
    pub keep_samples: bool,
    /// What an earlier run proved on this very kernel. It is the answer if fresh connections confirm
    /// all of it; else everything is measured anew.
    pub known: Option<Known>,
    /// Ends the measurement early, with [`ErrorKind::Stopped`].
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
    /// The verdict on each field, and the evidence of that run.
    pub findings: Vec<Finding>,
    /// These offsets, and those of the pointers that lead to them.
    pub proven: Proven,
}

/// What a measurement found.
#[derive(Debug)]
pub struct Measurement {
    /// The verdict on each field, in the order in which they were asked for.
    pub findings: Vec<Finding>,
    /// How it was found; none if fresh connections confirmed [`Options::known`].
    pub attempt: Option<Attempt>,
    /// How long each phase took.
    pub timing: Timing,
}

impl Measurement {
    /// The offset of a field in bytes, if it is proven.
    #[must_use]
    pub fn offset(&self, field: Field) -> Option<u32> {
        let mut findings = self.findings.iter();
        findings.find(|one| one.field == field)?.offset()
    }

    /// Whether every field is proven.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.all(|one| one.status == Status::Proven)
    }

    /// The offsets as a document of the running kernel, as `conntrack` reads it.
    ///
    /// # Errors
    /// If the running kernel cannot be identified.
    pub fn document(&self) -> io::Result<Document> {
        Ok(Document {
            schema: Document::SCHEMA,
            kernel: KernelIdentity::running()?,
            elapsed_us: self.timing.elapsed_us(),
            fields: self.findings.iter().map(FieldResult::from).collect(),
        })
    }
}

/// Why nothing was measured. The text names what was tried and what the kernel answered.
#[derive(Debug, thiserror::Error)]
#[error("{cause:#}")]
pub struct Error {
    kind: ErrorKind,
    cause: anyhow::Error,
}

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A privilege is missing.
    Privilege,
    /// This kernel cannot do it.
    Kernel,
    /// [`Options::stopped`] said so.
    Stopped,
    /// It could have worked and did not.
    Failed,
}

impl Error {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The whole chain of causes; one of them is the [`Failure`] that the kind was read from.
    #[must_use]
    pub fn into_cause(self) -> anyhow::Error {
        self.cause
    }

    fn new(cause: anyhow::Error, is_stopped: bool) -> Self {
        let kind = match cause.downcast_ref() {
            // Whatever became of the calls that a signal interrupted.
            _ if is_stopped => ErrorKind::Stopped,
            Some(Failure::Privilege(_)) => ErrorKind::Privilege,
            Some(Failure::Kernel(_)) => ErrorKind::Kernel,
            _ => ErrorKind::Failed,
        };
        Self { kind, cause }
    }
}

/// A measurement that is under way on a thread of its own.
#[derive(Debug)]
pub struct Running(JoinHandle<Result<Measurement, Error>>);

impl Running {
    /// Waits for it.
    ///
    /// # Errors
    /// As [`measure`].
    pub fn finish(self) -> Result<Measurement, Error> {
        let Self(thread) = self;
        thread
            .join()
            .unwrap_or_else(|payload| panic::resume_unwind(payload))
    }
}

/// Starts to measure these fields on a thread of its own, which alone enters namespaces and gives up
/// capabilities. The caller is free to give up its own meanwhile.
///
/// # Errors
/// If a privilege is missing, or no thread can be started.
pub fn start(fields: &[Field], options: Options) -> Result<Running, Error> {
    let timing = Timing::start();
    let failed = |error| Error::new(error, false);
    privilege::check().map_err(|failure| failed(failure.into()))?;
    descriptors::reserve();
    let fields = fields.to_vec();
    let thread = thread::Builder::new().name("measure".into());
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
    let thread = thread.spawn(run);
    thread
        .map(Running)
        .map_err(|error| failed(anyhow::Error::new(error).context("start a thread")))
}

/// Measures these fields on the running kernel.
///
/// # Errors
/// If the kernel refuses or something fails. That a field is ambiguous or missing is no error: its
/// [`Finding`] says so, and why.
pub fn measure(fields: &[Field], options: Options) -> Result<Measurement, Error> {
    start(fields, options)?.finish()
}
