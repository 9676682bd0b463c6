//! `--get`: looks up one connection in the table that a running `conntrack` has pinned.

use std::path::Path;

use anyhow::Context as _;
use netlink::netns::Namespace;
use shared::cli::log::SUMMARY;
use shared::clock::realtime_ns;
use shared::exit::Answer;
use shared::exit::Failure;
use shared::line;
use shared::line::Lines;
use shared::record::Flow;
use shared::record::Record;
use shared::record::wire::kind;
use shared::record::wire::known;

use crate::bpf::libbpf::is_denied;
use crate::bpf::pinned;
use crate::bpf::table::FlowTable;
use crate::cli::Cli;
use crate::cli::Format;
use crate::flow_entry::Key;
use crate::output;
use crate::pin_directory::DEFAULT_DIR;
use crate::query::Netns;
use crate::query::Query;

/// Looks the connection up and prints it.
///
/// # Errors
/// Exit 2 for a malformed query, exit 3 if no table is pinned.
pub fn answer(query: &str, cli: &Cli) -> anyhow::Result<Answer> {
    let query: Query = query.parse().map_err(Failure::Usage)?;
    let netns_ino = match &query.netns {
        Some(Netns::Inode(ino)) => Some(*ino),
        Some(Netns::Path(path)) => Some(Namespace::open(path)?.inum()),
        None => None,
    };
    let dir = cli.pin.as_deref().unwrap_or(Path::new(DEFAULT_DIR));
    let table = pinned::open_table(dir).map_err(|error| {
        let text = format!("no table is pinned in {}", dir.display());
        if is_denied(&error) {
            error.context(Failure::Privilege("reading the table needs CAP_BPF".into()))
        } else {
            error.context(Failure::Failed(text))
        }
    })?;
    let found = find(&table, &query.record(), netns_ino)?;
    let mut lines = Lines::stdout();
    let mut answer = Answer::No;
    for record in &found {
        if record.nat == 0 {
            log::info!(target: SUMMARY, "no NAT: {}", output::text(record).trim_start());
            continue;
        }
        answer = Answer::Done;
        match cli.output {
            Format::Json => lines.json(&flow(record)?)?,
            Format::None if !line::stdout_is_terminal() => lines.json(&flow(record)?)?,
            Format::None | Format::Text => lines.text(output::text(record).trim_start())?,
        }
    }
    lines.flush()?;
    if found.is_empty() {
        log::info!(target: SUMMARY, "no such connection in the table");
    }
    Ok(answer)
}

/// The connection in the given namespace, by default our own. If it is not there, those of the same
/// tuple in every zone, and by default in every namespace.
fn find(table: &FlowTable, asked: &Record, netns_ino: Option<u32>) -> anyhow::Result<Vec<Record>> {
    let own = Namespace::current()
        .context("own network namespace")?
        .inum();
    let exact = Key::of(&Record {
        netns_ino: netns_ino.unwrap_or(own),
        known: known::NETNS,
        ..*asked
    });
    if let Some(entry) = table.get(&exact)? {
        return Ok(vec![entry.record(&exact, kind::DUMP)]);
    }
    let anywhere = Key::of(asked);
    Ok(table
        .entries(anywhere.is_v6())
        .filter(|(key, _)| key.tuple_only() == anywhere)
        .filter(|(key, _)| netns_ino.is_none_or(|ino| ino == key.netns_ino()))
        .map(|(key, entry)| entry.record(&key, kind::DUMP))
        .collect())
}

fn flow(record: &Record) -> anyhow::Result<Flow> {
    // Like a dump, the answer has the time at which it was so.
    let record = Record {
        ts_ns: realtime_ns().context("read the clock")?,
        known: record.known | known::TIME,
        ..*record
    };
    // The table does not say which source added the entry.
    Flow::from_record(&record, "")
        .map(|flow| Flow {
            source: None,
            ..flow
        })
        .context("the table holds an entry of another version")
}
