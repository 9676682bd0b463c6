//! Measures two fields of the running kernel and prints where they are. Needs root.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example")]

use std::process::ExitCode;

use guess::Field;
use guess::Options;

fn main() -> ExitCode {
    let fields = [Field::SkBuffNfct, Field::NfConnMark];
    let measured = match guess::measure(&fields, Options::default()) {
        Ok(measured) => measured,
        Err(error) => {
            eprintln!("nothing was measured: {error}");
            return ExitCode::FAILURE;
        }
    };
    for finding in &measured.findings {
        match finding.offset() {
            Some(offset) => println!("{}\t{offset}", finding.field),
            None => println!("{}\tnot proven", finding.field),
        }
    }
    ExitCode::SUCCESS
}
