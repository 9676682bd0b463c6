//! Records from lines of JSON: a file, or the output of another program. A line that is no record is
//! an error that names it.

use std::fs::File;
use std::io;
use std::io::BufRead as _;
use std::io::BufReader;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;
use shared::exit::Failure;
use shared::record::Flow;
use shared::record::flow::Type;
use shared::stop::Stop;

use super::step::Source;
use super::step::Step;
use super::step::wait_readable;
use crate::query::Query;

/// The longest line that is read; a record takes about 500 bytes.
const LINE_BYTES: usize = 64 * 1024;

/// A stream of lines.
pub struct Lines {
    name: String,
    input: BufReader<File>,
    stop: Stop,
    /// The part of the current line that was read.
    line: Vec<u8>,
    /// Its number, from 1.
    number: u64,
}

/// A line: the keys of a record, and unknown keys, which are passed on.
#[derive(Deserialize)]
struct Line {
    #[serde(flatten)]
    flow: Flow,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Lines {
    /// Opens a file, or standard input for `-`.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path, stop: Stop) -> anyhow::Result<Self> {
        let (name, file) = if path == Path::new("-") {
            let stdin = io::stdin().as_fd().try_clone_to_owned();
            ("standard input".to_owned(), stdin.map(File::from))
        } else {
            (path.display().to_string(), File::open(path))
        };
        let file = file.with_context(|| format!("open {name}"))?;
        Ok(Self {
            name,
            input: BufReader::with_capacity(LINE_BYTES, file),
            stop,
            line: Vec::new(),
            number: 1,
        })
    }

    /// Moves bytes from the input to the line, up to its end; returns whether the line is complete,
    /// and whether the input has ended.
    fn read(&mut self) -> anyhow::Result<(bool, bool)> {
        let bytes = loop {
            match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                bytes => break bytes.with_context(|| format!("read {}", self.name))?,
            }
        };
        let at_end = bytes.is_empty();
        let newline = bytes.iter().position(|byte| *byte == b'\n');
        self.line
            .extend_from_slice(&bytes[..newline.unwrap_or(bytes.len())]);
        let used = newline.map_or(bytes.len(), |at| at + 1);
        self.input.consume(used);
        Ok((newline.is_some() || at_end, at_end))
    }

    fn bad(&self, why: &str) -> anyhow::Error {
        Failure::Failed(format!("{} line {}: {why}", self.name, self.number)).into()
    }
}

impl Source for Lines {
    fn step(&mut self) -> anyhow::Result<Step> {
        loop {
            if self.input.buffer().is_empty()
                && !wait_readable(&[self.input.get_ref().as_fd()], Duration::ZERO)
            {
                return Ok(Step::Idle);
            }
            let (complete, at_end) = self.read()?;
            if self.line.len() > LINE_BYTES {
                return Err(self.bad("longer than 64 KiB"));
            }
            if !complete {
                continue;
            }
            if !self.line.trim_ascii().is_empty() {
                let step = parse(&self.line).map_err(|why| self.bad(&why));
                self.line.clear();
                self.number += 1;
                return step;
            }
            if at_end {
                return Ok(Step::End);
            }
            self.line.clear();
            self.number += 1;
        }
    }

    fn wait(&mut self, at_most: Duration) {
        let input = self.input.get_ref();
        wait_readable(&[input.as_fd(), self.stop.as_fd()], at_most);
    }
}

/// Reads one line.
fn parse(bytes: &[u8]) -> Result<Step, String> {
    let Line { flow, mut others } = serde_json::from_slice(bytes).map_err(|error| {
        // The parser counts lines too, and would call this one the first.
        let text = error.to_string();
        let why = text.split(" at line ").next().unwrap_or_default();
        format!("column {}: {why}", error.column())
    })?;
    if flow.r#type != Type::Loss && Query::of(&flow).is_none() {
        return Err("no original and reply tuple of one family".into());
    }
    // A record that has a route already is looked up again.
    others.remove("route");
    Ok(Step::Record(flow, others))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"type":"new","ts_ns":1,"netns":7,"orig":{"src":"10.0.0.1","dst":"10.0.0.2"},"reply":{"src":"10.0.0.2","dst":"10.0.0.1"}"#;

    #[test]
    fn keys_of_others_are_kept_and_an_old_route_is_not() {
        let line = format!(r#"{RECORD},"pod":"a","route":{{"type":"local"}}}}"#);
        let Ok(Step::Record(flow, others)) = parse(line.as_bytes()) else {
            panic!("{line}");
        };
        assert_eq!(flow.netns, Some(7));
        assert_eq!(serde_json::to_string(&others).unwrap(), r#"{"pod":"a"}"#);
    }

    #[test]
    fn what_is_wrong_is_said_without_a_second_line_number() {
        for (line, said) in [
            ("{", "column 1: EOF while parsing an object"),
            ("[]", "column"),
            (r#"{"type":"newer","ts_ns":1}"#, "unknown variant `newer`"),
            (r#"{"ts_ns":1}"#, "missing field `type`"),
            (r#"{"type":"new","ts_ns":1}"#, "no original and reply tuple"),
            ("\u{fffd}", "column 1: expected value"),
        ] {
            let why = parse(line.as_bytes()).unwrap_err();
            assert!(why.contains(said), "{line}: {why}");
            assert!(!why.contains("line"), "{line}: {why}");
        }
    }
}
