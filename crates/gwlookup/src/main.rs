//! gwlookup: which gateway does each connection leave through? Reads records from the ring or from
//! lines, looks up the route in the record's own namespace, prints both as one record.

mod access;
mod cli;
mod fib;
mod get;
mod output;
mod query;
mod route;
mod routes;
mod run;
mod source;
mod tally;
mod unrouted;

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::cli::main(run::run)
}
