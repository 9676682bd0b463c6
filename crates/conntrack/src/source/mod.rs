//! Where events come from. [`open`] tries the sources of a ladder in order and takes the first that
//! loads, attaches and fires.

mod bpf_source;
mod census;
mod event_source;
mod fire;
mod flow_cache;
mod netlink_source;
mod preexisting;
mod present;
mod schedule;
mod sweeps;
mod untold_end;

use shared::exit;
use shared::exit::Failure;
use shared::ring::layout::Source;

use crate::bpf::libbpf::is_denied;
use crate::cli::SourceName;
use crate::plan::Plan;
use crate::privilege;
use bpf_source::BpfSource;
pub use event_source::EventSource;
use netlink_source::NetlinkSource;

/// Opens the source that the plan asks for, or the first that works. The table is kept in BPF maps
/// only if they are pinned or a program needs them.
///
/// # Errors
/// Exit 4 or 5 with the reason if a requested source cannot be opened, or none can.
pub fn open(plan: &Plan, is_pinned: bool) -> anyhow::Result<Box<dyn EventSource>> {
    let is_auto = plan.cli.source == SourceName::Auto;
    let mut refusals = Vec::new();
    for rung in ladder(plan.cli.source) {
        let opened: anyhow::Result<Box<dyn EventSource>> = match rung {
            Source::Netlink => NetlinkSource::open(plan, is_pinned).map(|it| Box::new(it) as _),
            kind => BpfSource::open(*kind, plan).map(|it| Box::new(it) as _),
        };
        match opened {
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
    Err(no_source(&refusals))
}

/// No source works: all reasons, with the exit code of the last, which needs least.
fn no_source(refusals: &[anyhow::Error]) -> anyhow::Error {
    let texts: Vec<String> = refusals.iter().map(|error| format!("{error:#}")).collect();
    let text = texts.join("; ");
    anyhow::Error::new(match refusals.last().map(exit::code) {
        Some(2) => Failure::Usage(text),
        Some(4) => Failure::Privilege(text),
        Some(5) => Failure::Kernel(text),
        _ => Failure::Failed(text),
    })
}

fn ladder(source: SourceName) -> &'static [Source] {
    match source {
        SourceName::Auto => &[
            Source::Fentry,
            Source::Kprobe,
            Source::Tracepoint,
            Source::Netlink,
        ],
        SourceName::Fentry => &[Source::Fentry],
        SourceName::Kprobe => &[Source::Kprobe],
        SourceName::Tracepoint => &[Source::Tracepoint],
        SourceName::Netlink => &[Source::Netlink],
    }
}

fn announce(kind: Source, is_auto: bool, refusal: Option<&anyhow::Error>) {
    match refusal {
        Some(why) if is_auto && kind == Source::Netlink => {
            log::warn!(
                "source netlink: it sees only this network namespace, and costs each new connection \
                 2 microseconds; {why:#}"
            );
        }
        _ => log::info!("source {}", kind.name()),
    }
}

/// Names the source, and gives the error the exit code of its cause.
fn explain(rung: Source, error: anyhow::Error) -> anyhow::Error {
    let what = format!("source {}", rung.name());
    if error.is::<Failure>() || error.chain().any(|cause| cause.is::<Failure>()) {
        return error.context(what);
    }
    let missing = privilege::missing(rung);
    if is_denied(&error) {
        return error.context(if missing.is_empty() {
            let text =
                "is forbidden, although no capability is missing (lockdown, or a security module)";
            Failure::Kernel(format!("{what} {text}"))
        } else {
            Failure::Privilege(format!("{what} needs {missing}"))
        });
    }
    error.context(Failure::Kernel(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::hooks::HOOKS;

    #[test]
    fn auto_tries_every_source_that_has_hooks_and_netlink_last() {
        let auto = ladder(SourceName::Auto);
        assert_eq!(auto.last(), Some(&Source::Netlink));
        for hook in HOOKS {
            assert!(auto.contains(&hook.mechanism), "{hook:?}");
        }
    }
}
