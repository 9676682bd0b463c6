//! Records with their routes on standard output: as lines of JSON, or as a table.

mod table;

use std::io;
use std::io::Write;

use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use shared::line;
use shared::line::Lines;
use shared::record::Flow;

use crate::cli::Format;
use crate::route::Route;
use crate::unrouted::Unrouted;
use table::Table;

/// The format that was asked for, else text on a terminal and JSON elsewhere.
#[must_use]
pub fn format(asked: Option<Format>) -> Format {
    asked.unwrap_or_else(|| {
        if line::stdout_is_terminal() {
            Format::Text
        } else {
            Format::Json
        }
    })
}

/// Standard output in one format.
pub struct Output<W: Write> {
    lines: Lines<W>,
    table: Option<Table>,
}

/// A record as JSON: its own keys, unknown ones of the input, and the route.
#[derive(Serialize)]
struct Routed<'a> {
    #[serde(flatten)]
    flow: &'a Flow,
    #[serde(flatten)]
    others: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a Route>,
}

impl<W: Write> Output<W> {
    /// Output in this format.
    pub fn new(lines: Lines<W>, format: Format) -> Self {
        let table = match format {
            Format::Json => None,
            Format::Text => Some(Table::default()),
        };
        Self { lines, table }
    }

    /// Prints a record of a connection, or of a loss, which has no route.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn record(
        &mut self,
        flow: &Flow,
        others: &Map<String, Value>,
        route: Option<Result<&Route, &Unrouted>>,
    ) -> io::Result<()> {
        match &mut self.table {
            None => self.lines.json(&Routed {
                flow,
                others,
                route: route.and_then(Result::ok),
            }),
            Some(table) => {
                if let Some(header) = table.header() {
                    self.lines.text(&header)?;
                }
                self.lines.text(table.row(flow, route))
            }
        }
    }

    /// Writes out the buffer.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Basis;
    use crate::route::RouteType;

    #[test]
    fn a_record_keeps_its_keys_and_gains_its_route() {
        let flow: Flow = serde_json::from_str(r#"{"type":"new","ts_ns":1,"mark":5}"#).unwrap();
        let mut others = Map::new();
        others.insert("pod".into(), "a".into());
        let route = Route::without_next_hop(RouteType::LOCAL, Basis::Full);
        let mut bytes = Vec::new();
        let mut output = Output::new(Lines::to(&mut bytes), Format::Json);
        output.record(&flow, &others, Some(Ok(&route))).unwrap();
        output
            .record(&flow, &Map::new(), Some(Err(&Unrouted::NoRoute)))
            .unwrap();
        output.flush().unwrap();
        drop(output);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            concat!(
                r#"{"type":"new","ts_ns":1,"mark":5,"pod":"a","route":{"type":"local"}}"#,
                "\n",
                r#"{"type":"new","ts_ns":1,"mark":5}"#,
                "\n",
            )
        );
    }
}
