//! Where events come from: one interface, one ladder. [`open`] tries the rungs in order and takes
//! the first that loads, attaches and fires.

pub mod ends;
pub mod fire;
pub mod known;
pub mod loaded;
pub mod netlink;
pub mod traced;

use std::time::Duration;

use anyhow::Context as _;
use shared::exit::Failure;
use shared::record::wire::Loss;
use shared::record::wire::Record;
use shared::ring::layout::Source as Kind;
use shared::stop::Stop;

use crate::bpf::FlowTable;
use crate::bpf::Object;
use crate::bpf::is_denied;
use crate::cli::SourceName;
use crate::plan::Plan;
use crate::privilege;
use netlink::Netlink;
use traced::Traced;

/// Something that tells of connections.
pub trait Source {
    /// What it is.
    fn kind(&self) -> Kind;

    /// The table that it keeps in BPF maps, if it does.
    fn table(&mut self) -> Option<&mut FlowTable>;

    /// Gives every connection that is there already to `each`, once, as a record of type `DUMP`.
    ///
    /// # Errors
    /// If the kernel cannot be asked; that is no reason to end.
    fn load(&mut self, each: &mut dyn FnMut(Record)) -> anyhow::Result<()>;

    /// Appends what has happened, at most a few thousand records. Nothing: wait.
    ///
    /// # Errors
    /// If events can no longer be read.
    fn take(&mut self, batch: &mut Vec<Record>) -> anyhow::Result<()>;

    /// Sleeps until there may be something, a stop is asked for, or the time is over.
    ///
    /// # Errors
    /// If waiting is impossible.
    fn wait(&mut self, stop: &Stop, at_most: Duration) -> anyhow::Result<()>;

    /// Does what has to be done now and then, and says when it wants to be asked again.
    ///
    /// # Errors
    /// If the source cannot go on.
    fn tend(&mut self, batch: &mut Vec<Record>) -> anyhow::Result<Duration>;

    /// Events lost so far at one place.
    ///
    /// # Errors
    /// If the counters cannot be read.
    fn lost(&self, place: Loss) -> anyhow::Result<u64>;

    /// No more events begin; what has happened can still be taken.
    fn stop(&mut self);
}

/// Most rungs that need a BPF object of their own.
pub const RUNGS: usize = 3;

/// Opens the source that the plan asks for, or the first that works. A table that nobody could
/// find, since it is not pinned, need not be kept in BPF maps.
///
/// # Errors
/// Exit 4 or 5 with the reason if a source that was asked for cannot be had, or none can.
pub fn open<'obj>(
    plan: &Plan,
    is_pinned: bool,
    objects: &'obj mut [Object; RUNGS],
) -> anyhow::Result<Box<dyn Source + 'obj>> {
    let is_auto = plan.source == SourceName::Auto;
    let mut reasons = Vec::new();
    for (rung, object) in ladder(plan.source).iter().zip(objects) {
        match climb(*rung, plan, is_pinned, object) {
            Ok(source) => {
                announce(source.kind(), is_auto, &reasons);
                return Ok(source);
            }
            Err(error) if is_auto => {
                log::info!("source {}: {error:#}", rung.name());
                reasons.push((*rung, error));
            }
            Err(error) => return Err(explain(*rung, error)),
        }
    }
    let (rung, error) = reasons.pop().context("no source is known")?;
    Err(explain(rung, error))
}

fn ladder(source: SourceName) -> &'static [Kind] {
    match source {
        // fentry comes first once it is there.
        SourceName::Auto => &[Kind::Kprobe, Kind::Tracepoint, Kind::Netlink],
        SourceName::Fentry => &[Kind::Fentry],
        SourceName::Kprobe => &[Kind::Kprobe],
        SourceName::Tracepoint => &[Kind::Tracepoint],
        SourceName::Netlink => &[Kind::Netlink],
    }
}

fn climb<'obj>(
    rung: Kind,
    plan: &Plan,
    is_pinned: bool,
    object: &'obj mut Object,
) -> anyhow::Result<Box<dyn Source + 'obj>> {
    Ok(match rung {
        Kind::Netlink => Box::new(Netlink::open(plan, is_pinned, object)?),
        kind => Box::new(Traced::open(kind, plan, object)?),
    })
}

fn announce(kind: Kind, is_auto: bool, reasons: &[(Kind, anyhow::Error)]) {
    if is_auto && kind == Kind::Netlink {
        let why = reasons.last().map_or_else(
            || "there are no offsets".to_owned(),
            |(rung, error)| format!("{}: {error:#}", rung.name()),
        );
        log::warn!("source netlink, which costs every new connection 2 microseconds: {why}");
    } else {
        log::info!("source {}", kind.name());
    }
}

/// Gives an error the exit code that its cause deserves.
fn explain(rung: Kind, error: anyhow::Error) -> anyhow::Error {
    let what = format!("source {}", rung.name());
    if error.chain().any(|cause| cause.is::<Failure>()) || error.is::<Failure>() {
        return error.context(what);
    }
    let missing = privilege::missing(rung);
    if is_denied(&error) && !missing.is_empty() {
        return error.context(Failure::Privilege(format!("{what} needs {missing}")));
    }
    error.context(Failure::Kernel(what))
}
