//! Records from lines of JSON: a file, or what another program prints. A line that is no record
//! ends the reading, and is named.

use std::fs::File;
use std::io;
use std::io::Read as _;
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

use super::Source;
use super::Step;
use super::wait_readable;
use crate::query::Query;

/// The longest line that is read; a record takes about 500 bytes.
const LINE_BYTES: usize = 64 * 1024;

/// A stream of lines.
pub struct Lines {
    name: String,
    file: File,
    stop: Stop,
    /// What was read and not yet handed out is `buffer[start..]`, without a newline before
    /// `searched`.
    buffer: Vec<u8>,
    start: usize,
    searched: usize,
    at_end: bool,
    line: u64,
}

/// A line: the keys of a record, and any others, which are passed on.
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
            file,
            stop,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            at_end: false,
            line: 0,
        })
    }

    /// Takes the next line out of the buffer: where it lies, without its newline.
    fn take_line(&mut self) -> Option<(usize, usize)> {
        let found = self.buffer[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|at| self.searched + at);
        let end = match found {
            Some(end) => end,
            None if self.at_end && self.start < self.buffer.len() => self.buffer.len(),
            None => {
                self.searched = self.buffer.len();
                return None;
            }
        };
        let line = (self.start, end);
        self.start = (end + 1).min(self.buffer.len());
        self.searched = self.start;
        self.line += 1;
        Some(line)
    }

    fn read(&mut self) -> anyhow::Result<()> {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        let held = self.buffer.len();
        self.buffer.resize(held + LINE_BYTES, 0);
        let got = loop {
            match self.file.read(&mut self.buffer[held..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                got => break got,
            }
        };
        let bytes = *got.as_ref().unwrap_or(&0);
        self.buffer.truncate(held + bytes);
        self.at_end = bytes == 0;
        got.map(drop).with_context(|| format!("read {}", self.name))
    }

    fn bad(&self, line: u64, why: &str) -> anyhow::Error {
        Failure::Failed(format!("{} line {line}: {why}", self.name)).into()
    }
}

impl Source for Lines {
    fn step(&mut self) -> anyhow::Result<Step> {
        loop {
            if let Some((start, end)) = self.take_line() {
                let bytes = &self.buffer[start..end];
                if bytes.len() > LINE_BYTES {
                    return Err(self.bad(self.line, "longer than 64 KiB"));
                }
                if bytes.trim_ascii().is_empty() {
                    continue;
                }
                return parse(bytes).map_err(|why| self.bad(self.line, &why));
            }
            if self.buffer.len() - self.start > LINE_BYTES {
                return Err(self.bad(self.line + 1, "longer than 64 KiB"));
            }
            if self.at_end {
                return Ok(Step::End);
            }
            if !wait_readable(&[self.file.as_fd()], Duration::ZERO) {
                return Ok(Step::Idle);
            }
            self.read()?;
        }
    }

    fn wait(&mut self, at_most: Duration) {
        wait_readable(&[self.file.as_fd(), self.stop.as_fd()], at_most);
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
    // Enriched before, here or elsewhere: the route is looked up again.
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
            (r#"{"type":"new"}"#, "missing field `ts_ns`"),
            (r#"{"type":"new","ts_ns":1}"#, "no original and reply tuple"),
            ("\u{fffd}", "column 1: expected value"),
        ] {
            let why = parse(line.as_bytes()).unwrap_err();
            assert!(why.contains(said), "{line}: {why}");
            assert!(!why.contains("line"), "{line}: {why}");
        }
    }
}
