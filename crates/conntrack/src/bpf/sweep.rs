//! One run of the program that walks the table and reports the connections that have ended.

use anyhow::Context as _;
use libbpf_rs::ProgramInput;

use super::skel::ConntrackSkel;

/// What a sweep found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sweep {
    /// Live connections.
    pub kept: u32,
    /// Connections that had ended.
    pub ended: u32,
    /// The ring buffer was full: drain it and sweep again.
    pub stuck: bool,
}

/// Runs it, on this CPU, until it is done.
///
/// # Errors
/// If the kernel refuses to run the program.
pub fn run(skel: &mut ConntrackSkel<'_>) -> anyhow::Result<Sweep> {
    skel.progs
        .sweep
        .test_run(ProgramInput::default())
        .context("run the sweep")?;
    let found = skel
        .maps
        .bss_data
        .as_deref()
        .context("the BPF object has no data")?
        .sweep_result;
    Ok(Sweep {
        kept: found.kept[0] + found.kept[1],
        ended: found.ended,
        stuck: found.stuck != 0,
    })
}
