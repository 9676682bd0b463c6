//! The records that a running program prints, taken as they come.

use std::time::Duration;
use std::time::Instant;

use harness::PATIENCE;
use harness::Running;
use serde_json::Value;

/// A running program that prints a record per line. An empty line says that it is ready.
pub struct Records {
    /// The program.
    pub running: Running,
    /// Its records so far.
    pub seen: Vec<Value>,
}

impl Records {
    /// Of this program, from its next line on.
    #[must_use]
    pub fn of(running: Running) -> Self {
        let seen = Vec::new();
        Self { running, seen }
    }

    /// Takes records until this many fit.
    ///
    /// # Panics
    /// If they do not come in time.
    pub fn wait_for(&mut self, what: &str, count: usize, fits: impl Fn(&Value) -> bool) {
        let mut found = self.seen.iter().filter(|record| fits(record)).count();
        if found < count {
            self.until(what, |record| {
                found += usize::from(record.is_some_and(&fits));
                found >= count
            });
        }
    }

    /// Takes records until the program says that it is ready.
    ///
    /// # Panics
    /// If it does not in time.
    pub fn wait_until_ready(&mut self) {
        self.until("empty line", |record| record.is_none());
    }

    /// Takes records until none has come for this long.
    pub fn settle(&mut self, quiet: Duration) {
        while let Some(line) = self.running.line_within(quiet) {
            self.take(&line);
        }
    }

    /// The record of this line; none of an empty one.
    fn take(&mut self, line: &str) -> Option<&Value> {
        if line == "\n" {
            return None;
        }
        let record = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("not a record: {error}: {line}"));
        self.seen.push(record);
        self.seen.last()
    }

    fn until(&mut self, what: &str, mut is_enough: impl FnMut(Option<&Value>) -> bool) {
        let start = Instant::now();
        while let Some(left) = PATIENCE.checked_sub(start.elapsed()) {
            let Some(line) = self.running.line_within(left) else {
                break;
            };
            if is_enough(self.take(&line)) {
                return;
            }
        }
        let last = self.seen.iter().rev().take(5).map(Value::to_string);
        let (count, last) = (self.seen.len(), last.collect::<Vec<_>>());
        let said = self.running.said();
        panic!("no {what} after {count} records, the last {last:#?}; stderr: {said}");
    }
}
