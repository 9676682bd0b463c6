//! How every tool starts and ends: settings in layers, logging, exit code. [`settings`] merges the
//! layers, [`log`] sets up stderr. A tool's `main` is `shared::cli::main(run)` and nothing else.

pub mod log;
mod options;
pub mod settings;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::ArgMatches;
use clap::Command;
use clap::error::ErrorKind;

use crate::exit;
use crate::exit::Answer;
use crate::exit::Failure;
use crate::line::Lines;

pub use options::Common;

/// A tool's command line.
pub trait Tool: clap::Parser {
    /// The tool's name: in error lines, in the settings file, in `--help`.
    const NAME: &'static str;

    /// The shared options.
    fn common(&self) -> &Common;
}

/// Runs a tool: parses its settings, sets up logging, and turns the outcome into a status.
#[must_use]
pub fn main<T: Tool>(run: fn(T) -> anyhow::Result<Answer>) -> ExitCode {
    let outcome = start::<T>(env::args_os()).and_then(|started| match started {
        Started::Run(tool) => run(tool),
        Started::Text(text) => {
            let mut out = Lines::stdout();
            out.bytes(text.as_bytes())?;
            out.flush()?;
            Ok(Answer::Done)
        }
    });
    exit::conclude(T::NAME, outcome)
}

enum Started<T> {
    Run(T),
    /// `--help`, `--version`, `--print-config`.
    Text(String),
}

fn start<T: Tool>(argv: impl Iterator<Item = OsString>) -> anyhow::Result<Started<T>> {
    let layers = settings::Layers::load(T::NAME)?;
    let command: Command = layers.apply(T::command())?;
    let matches: ArgMatches = match command.clone().try_get_matches_from(argv) {
        Ok(matches) => matches,
        Err(error) if is_answer(&error) => return Ok(Started::Text(error.render().to_string())),
        Err(error) => return Err(usage(T::NAME, &error).into()),
    };
    let tool = T::from_arg_matches(&matches).map_err(|error| usage(T::NAME, &error))?;
    if tool.common().print_config {
        return Ok(Started::Text(layers.print(&command, &matches)));
    }
    log::init(T::NAME, tool.common());
    Ok(Started::Run(tool))
}

fn is_answer(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    )
}

/// The first paragraph of clap's message, as one line for a script's log.
fn usage(tool: &str, error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let first_paragraph: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    let said = first_paragraph.join(" ");
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    Failure::Usage(format!("{said} (see {tool} --help)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Probe {
        #[arg(long)]
        count: Option<u32>,
        #[command(flatten)]
        common: Common,
    }

    impl Tool for Probe {
        const NAME: &'static str = "probe";
        fn common(&self) -> &Common {
            &self.common
        }
    }

    fn error(argv: &[&str]) -> String {
        match start::<Probe>(argv.iter().map(OsString::from)) {
            Ok(_) => panic!("{argv:?} was accepted"),
            Err(error) => {
                assert_eq!(exit::code(&error), 2);
                error.to_string()
            }
        }
    }

    #[test]
    fn wrong_usage_is_one_line_and_status_2() {
        assert_eq!(
            error(&["probe", "--nope"]),
            "unexpected argument '--nope' found (see probe --help)"
        );
        let text = error(&["probe", "--count", "x"]);
        assert!(
            text.starts_with("invalid value 'x' for '--count <COUNT>'"),
            "{text}"
        );
    }
}
