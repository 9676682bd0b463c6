//! `conntrack`: reports every connection that begins or ends, and keeps the NAT table.

mod bpf;
mod cli;
mod clock_history;
mod counters;
mod ctnetlink;
mod flow_entry;
mod flow_id;
mod get;
mod layout;
mod metrics;
mod offsets;
mod output;
mod pin_directory;
mod plan;
mod privilege;
mod pump;
mod query;
mod ready;
mod run;
mod sink;
mod source;
mod unseen;
mod wake;
mod wall_clock;

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::cli::main(run::run)
}
