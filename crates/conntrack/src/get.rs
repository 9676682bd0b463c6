//! `--get`: looks up one connection in the table that a running `conntrack` has pinned.

use std::path::Path;

use anyhow::Context as _;
use netlink::DumpEnd;
use netlink::netns;
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
use crate::bpf::table::Present;
use crate::cli::Cli;
use crate::cli::Format;
use crate::ctnetlink::dump::Dumper;
use crate::ctnetlink::modules::may_be_used;
use crate::ctnetlink::scope::Scope;
use crate::flow_entry::Entry;
use crate::flow_entry::Key;
use crate::output;
use crate::pin_directory::DEFAULT_DIR;
use crate::pin_directory::is_kept;
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
    if !is_kept(dir).with_context(|| format!("look at {}", dir.display()))? {
        let text = format!(
            "the table in {} is of a process that was killed",
            dir.display()
        );
        return Err(Failure::Failed(text).into());
    }
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

/// The live connections of this tuple, in each of their zones, in the given namespace. By default in our
/// own, or if there are none in all others.
fn find(table: &FlowTable, asked: &Record, netns_ino: Option<u32>) -> anyhow::Result<Vec<Record>> {
    let own = Namespace::current()
        .context("own network namespace")?
        .inum();
    let tuple = Key::of(asked);
    let mut found = Vec::new();
    for (key, entry) in table.entries(tuple.is_v6())? {
        // A batch may give an entry twice that moved meanwhile.
        if key.tuple_only() == tuple
            && netns_ino.is_none_or(|ino| ino == key.netns_ino())
            && !found.iter().any(|(known, _)| *known == key)
        {
            found.push((key, entry));
        }
    }
    if netns_ino.is_none() && found.iter().any(|(key, _)| key.netns_ino() == own) {
        found.retain(|(key, _)| key.netns_ino() == own);
    }
    let mut records = Vec::new();
    for (key, entry) in found {
        records.extend(now(table, &key, &entry)?);
    }
    Ok(records)
}

/// An entry's connection as it is now; `None` if it has ended. What nobody can say is absent.
fn now(table: &FlowTable, key: &Key, entry: &Entry) -> anyhow::Result<Option<Record>> {
    let seen = entry.record(key, kind::DUMP);
    Ok(match table.check(key)? {
        Present::Ended => None,
        Present::Alive => table.get(key)?.map(|entry| entry.record(key, kind::DUMP)),
        Present::Unknown | Present::Stuck => match ask_kernel(&seen) {
            Ok(now) => now,
            Err(error) => {
                log::info!("status and mark are not known: {error:#}");
                Some(Record {
                    known: seen.known & !(known::STATUS | known::MARK),
                    ..seen
                })
            }
        },
    })
}

/// The connection with these tuples in ctnetlink's table of its namespace; `None` if it is not there.
fn ask_kernel(seen: &Record) -> anyhow::Result<Option<Record>> {
    may_be_used(false).map_err(anyhow::Error::msg)?;
    let namespace = netns::find(seen.netns_ino)?;
    let mut dumper = Dumper::within(&namespace, Scope::own(false)?)?;
    let (key, mut found) = (Key::of(seen), None);
    let end = dumper.dump(|record| {
        let is_it = Key::of(&record) == key
            && (record.reply_src, record.reply_dst) == (seen.reply_src, seen.reply_dst)
            && (record.reply_sport, record.reply_dport) == (seen.reply_sport, seen.reply_dport);
        if is_it {
            found = Some(Record {
                ct_id: seen.ct_id,
                ..record
            });
        }
    })?;
    anyhow::ensure!(
        found.is_some() || end == DumpEnd::Consistent,
        "the kernel's table changed while it was read"
    );
    Ok(found)
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
