//! `conntrack`: tells of every connection that begins or ends, and keeps the NAT table.

mod bpf;
mod cli;
mod counters;
mod ctnetlink;
mod get;
mod layout;
mod metrics;
mod offsets;
mod output;
mod pins;
mod plan;
mod privilege;
mod pump;
mod question;
mod ready;
mod run;
mod source;
mod table;

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::cli::main(run::run)
}
