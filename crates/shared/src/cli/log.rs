//! Diagnostics on stderr: `tool: text`, one line each, no time stamps (the log that catches them
//! has its own). The summary at the end of a run is printed unless `--quiet`.

use std::io::Write as _;

use env_logger::Builder;
use log::LevelFilter;

use super::options::Common;
use crate::escape;

/// Log target of the one line that a tool prints when it ends.
pub const SUMMARY: &str = "summary";

/// Sets up the process's logger. A second call does nothing.
pub fn init(tool: &'static str, common: &Common) {
    let level = match (common.quiet, common.verbose) {
        (true, _) => LevelFilter::Error,
        (false, 0) => LevelFilter::Warn,
        (false, 1) => LevelFilter::Info,
        (false, 2) => LevelFilter::Debug,
        (false, _) => LevelFilter::Trace,
    };
    let summary = if common.quiet {
        LevelFilter::Off
    } else {
        LevelFilter::Info
    };
    let _ = Builder::new()
        .filter_level(level)
        .filter_module(SUMMARY, summary)
        .format(move |out, record| {
            let text = record.args().to_string();
            writeln!(out, "{tool}: {}", escape::one_line(&text))
        })
        .try_init();
}
