//! Settings in layers: built-in default ← TOML file ← `SEXTANT_*` environment ← flag. Every
//! long flag of a tool is a key in its table of the file and a variable of the environment:
//! `SEXTANT_CONNTRACK_RING_SIZE`. A flag with the same meaning in all tools has a short one as well:
//! `SEXTANT_RING`.
//!
//! ```toml
//! # /etc/sextant.toml, or the file that SEXTANT_CONFIG names
//! [conntrack]
//! source = "tracepoint"
//! ring-size = 33554432
//! ```

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;

use anyhow::Context as _;
use clap::Arg;
use clap::ArgAction;
use clap::ArgMatches;
use clap::Command;
use clap::parser::ValueSource;
use toml::Table;
use toml::Value;

use crate::exit::Failure;

/// Read when `SEXTANT_CONFIG` names no other file; it need not exist.
const DEFAULT_FILE: &str = "/etc/sextant.toml";

/// Flags that only make sense on the command line.
const NOT_SETTINGS: &[&str] = &["help", "version", "print-config"];

/// Flags with the same meaning in every tool that has them, so one variable sets them all.
const OF_ALL_TOOLS: &[&str] = &["ring", "verbose", "quiet", "allow-system-changes"];

/// The layers between a tool's defaults and its command line.
pub struct Layers {
    tool: String,
    file: String,
    table: Table,
}

impl Layers {
    /// Reads the settings file's table for this tool.
    ///
    /// # Errors
    /// Exit 2 if the file is named but missing, cannot be read, or is not a settings file.
    pub fn load(tool: &str) -> anyhow::Result<Self> {
        let named = env::var("SEXTANT_CONFIG").ok();
        let file = named.clone().unwrap_or_else(|| DEFAULT_FILE.into());
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
                String::new()
            }
            Err(error) => {
                return Err(error).with_context(|| Failure::Usage(format!("read settings {file}")));
            }
        };
        Self::parse(tool, file, &text)
    }

    fn parse(tool: &str, file: String, text: &str) -> anyhow::Result<Self> {
        let mut all: Table = text
            .parse()
            .map_err(|error: toml::de::Error| wrong(&file, error.message()))?;
        let table = match all.remove(tool) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => return Err(wrong(&file, &format!("{tool} is no table")).into()),
        };
        Ok(Self {
            tool: tool.to_owned(),
            file,
            table,
        })
    }

    /// Makes the values of the layers the defaults of the command.
    ///
    /// # Errors
    /// Exit 2 if the file has a key that is not a flag of the tool, or a value that is not a scalar.
    pub fn apply(&self, mut command: Command) -> anyhow::Result<Command> {
        let ids: Vec<(String, String)> = settings(&command)
            .map(|(arg, long)| (arg.get_id().to_string(), long.to_owned()))
            .collect();
        let is_known = |key: &&String| ids.iter().any(|(_, long)| long == *key);
        if let Some(key) = self.table.keys().find(|key| !is_known(key)) {
            return Err(wrong(&self.file, &format!("unknown key {key}")).into());
        }
        for (id, long) in ids {
            if let Some((value, _)) = self.value(&long)? {
                command = command.mut_arg(id, |arg| arg.default_value(value));
            }
        }
        Ok(command)
    }

    /// The effective settings as TOML that is a valid settings file, each with its origin.
    #[must_use]
    pub fn print(&self, command: &Command, matches: &ArgMatches) -> String {
        let mut text = format!("[{}]\n", command.get_name());
        for (arg, long) in settings(command) {
            let id = arg.get_id().as_str();
            let origin = match matches.value_source(id) {
                Some(ValueSource::CommandLine) => "flag",
                Some(_) => match self.value(long) {
                    Ok(Some((_, origin))) => origin,
                    _ => "default",
                },
                None => "not set",
            };
            let values: Vec<String> = matches
                .get_raw(id)
                .into_iter()
                .flatten()
                .map(|value| Value::from(value.to_string_lossy().into_owned()).to_string())
                .collect();
            let _ = match values.as_slice() {
                [] => writeln!(text, "# {long} is not set"),
                [value] => writeln!(text, "{long} = {value} # {origin}"),
                values => writeln!(text, "{long} = [{}] # {origin}", values.join(", ")),
            };
        }
        text
    }

    /// The value of one flag in the layers, and the layer that has it.
    fn value(&self, long: &str) -> anyhow::Result<Option<(String, &'static str)>> {
        for variable in variables(&self.tool, long) {
            if let Ok(value) = env::var(variable) {
                return Ok(Some((value, "environment")));
            }
        }
        let text = match self.table.get(long) {
            None => return Ok(None),
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Array(parts)) => {
                let parts: Option<Vec<&str>> = parts.iter().map(Value::as_str).collect();
                parts.map(|parts| parts.join(","))
            }
            Some(Value::Table(_) | Value::Datetime(_)) => None,
            Some(scalar) => Some(scalar.to_string()),
        };
        let text = text.ok_or_else(|| {
            wrong(
                &self.file,
                &format!("{long} is neither text, number nor list"),
            )
        })?;
        Ok(Some((text, "file")))
    }
}

fn wrong(file: &str, what: &str) -> Failure {
    Failure::Usage(format!("settings {file}: {what}"))
}

/// Names of the variables that set a flag of a tool, the most specific first.
fn variables(tool: &str, long: &str) -> Vec<String> {
    let flag = long.to_uppercase().replace('-', "_");
    let mut names = vec![format!("SEXTANT_{}_{flag}", tool.to_uppercase())];
    if OF_ALL_TOOLS.contains(&long) {
        names.push(format!("SEXTANT_{flag}"));
    }
    names
}

/// The flags of a command that can be set in a layer.
fn settings(command: &Command) -> impl Iterator<Item = (&Arg, &str)> {
    command
        .get_arguments()
        .filter(|arg| !matches!(arg.get_action(), ArgAction::Help | ArgAction::Version))
        .filter_map(|arg| arg.get_long().map(|long| (arg, long)))
        .filter(|(_, long)| !NOT_SETTINGS.contains(long))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command::new("conntrack")
            .arg(Arg::new("ring").long("ring").default_value("sextant"))
            .arg(
                Arg::new("nat_only")
                    .long("nat-only")
                    .action(ArgAction::SetTrue),
            )
    }

    fn layers(text: &str) -> anyhow::Result<Layers> {
        Layers::parse("conntrack", "f.toml".into(), text)
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_the_default() {
        let layers =
            layers("[conntrack]\nring = \"a\"\nnat-only = true\n[guesser]\nx = 1").unwrap();
        let command = layers.apply(command()).unwrap();
        let matches = command.clone().try_get_matches_from(["conntrack"]).unwrap();
        assert_eq!(matches.get_one::<String>("ring").unwrap(), "a");
        assert!(matches.get_flag("nat_only"));

        let argv = ["conntrack", "--ring", "b"];
        let matches = command.clone().try_get_matches_from(argv).unwrap();
        let printed = layers.print(&command, &matches);
        assert_eq!(
            printed,
            "[conntrack]\nring = \"b\" # flag\nnat-only = \"true\" # file\n"
        );
        printed.parse::<Table>().expect("what is printed is TOML");
    }

    #[test]
    fn a_variable_of_all_tools_sets_only_what_means_the_same_to_all() {
        assert_eq!(
            variables("conntrack", "ring"),
            ["SEXTANT_CONNTRACK_RING", "SEXTANT_RING"]
        );
        // A directory to conntrack, a file to guesser.
        assert_eq!(variables("guesser", "pin"), ["SEXTANT_GUESSER_PIN"]);
    }

    #[test]
    fn mistakes_in_the_file_are_named() {
        for (text, said) in [
            ("[conntrack]\nrnig = 1", "unknown key rnig"),
            ("[conntrack]\nring = {}", "ring is neither text"),
            ("conntrack = 1", "conntrack is no table"),
            ("[conntrack", "f.toml"),
        ] {
            let error = layers(text)
                .and_then(|layers| layers.apply(command()))
                .unwrap_err();
            assert!(error.to_string().contains(said), "{text}: {error}");
            assert_eq!(crate::exit::code(&error), 2);
        }
    }
}
