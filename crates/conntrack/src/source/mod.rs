//! Where events come from: one interface, one ladder. [`open`] tries the rungs in order and takes
//! the first that loads, attaches and fires.

pub mod ends;
pub mod fire;
pub mod known;
pub mod loaded;
pub mod netlink;
pub mod pace;
pub mod traced;

use std::time::Duration;

use shared::exit;
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

    /// No more events begin; what has happened can still be taken. `true`: there was no room for
    /// all of it, take and call again.
    ///
    /// # Errors
    /// If what waits for room cannot be told.
    fn stop(&mut self) -> anyhow::Result<bool>;
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
    let mut refusals = Vec::new();
    for (rung, object) in ladder(plan.source).iter().zip(objects) {
        match climb(*rung, plan, is_pinned, object) {
            Ok(source) => {
                announce(source.kind(), is_auto, refusals.last());
                return Ok(source);
            }
            Err(error) => {
                let refusal = explain(*rung, error);
                if !is_auto {
                    return Err(refusal);
                }
                log::info!("{refusal:#}");
                refusals.push(refusal);
            }
        }
    }
    Err(no_source(refusals))
}

/// No rung holds: all reasons, with the exit code of the last, which asks for least.
fn no_source(mut refusals: Vec<anyhow::Error>) -> anyhow::Error {
    let Some(last) = refusals.pop() else {
        return anyhow::anyhow!("no source is known");
    };
    refusals.into_iter().rev().fold(last, |error, refusal| {
        let code = exit::code(&error);
        let text = format!("{refusal:#}; {error:#}");
        anyhow::Error::new(match code {
            2 => Failure::Usage(text),
            4 => Failure::Privilege(text),
            5 => Failure::Kernel(text),
            _ => Failure::Failed(text),
        })
    })
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

fn announce(kind: Kind, is_auto: bool, refusal: Option<&anyhow::Error>) {
    match refusal {
        Some(why) if is_auto && kind == Kind::Netlink => {
            log::warn!("source netlink, which costs each new connection 2 microseconds: {why:#}");
        }
        _ => log::info!("source {}", kind.name()),
    }
}

/// Names the source, and gives the error the exit code that its cause deserves.
fn explain(rung: Kind, error: anyhow::Error) -> anyhow::Error {
    let what = format!("source {}", rung.name());
    if error.is::<Failure>() || error.chain().any(|cause| cause.is::<Failure>()) {
        return error.context(what);
    }
    let missing = privilege::missing(rung);
    if is_denied(&error) && !missing.is_empty() {
        return error.context(Failure::Privilege(format!("{what} needs {missing}")));
    }
    error.context(Failure::Kernel(what))
}
