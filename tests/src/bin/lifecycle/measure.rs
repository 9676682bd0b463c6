//! What the programs cost, and what their alternatives would: the figures of
//! `docs/decisions/2026-11-28-identity.md`.

use std::io::Write;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use shared::line::Lines;

use crate::bench::ESTABLISHED;
use crate::bench::NEW;
use crate::bpf::Object;
use crate::bpf::constants::Setup;
use crate::fake::Offsets;

/// Entries of each table: conntrack's default.
const ENTRIES: u32 = 131_072;
/// Connections in one timed run: their memory fits into a cache of the second level, the table's does not.
const BATCH: u32 = 512;
const ROUNDS: u32 = 5;

/// Where `bpf/include/timed_objects.h` puts the fields.
const OFFSETS: Offsets = Offsets {
    skb_nfct: 0,
    timeout: Some(8),
    zone: Some(12),
    orig: 40,
    reply: 96,
    status: 136,
    netns: Some((144, 0)),
    mark: Some(176),
};

/// One line of the result: a name, and the times of its runs in nanoseconds for each connection.
struct Row {
    name: &'static str,
    runs: Vec<f64>,
}

/// Results so far, in the order of their first runs.
#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn add(&mut self, name: &'static str, ns: f64) {
        match self.0.iter_mut().find(|row| row.name == name) {
            Some(row) => row.runs.push(ns),
            None => self.0.push(Row {
                name,
                runs: vec![ns],
            }),
        }
    }

    fn median(&self, name: &str) -> f64 {
        let row = self.0.iter().find(|row| row.name == name);
        row.map_or(f64::NAN, |row| median(&row.runs))
    }
}

fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Measures everything and prints it.
///
/// # Errors
/// If the kernel refuses something, or an operation did not do what it should.
pub fn run(out: &mut Lines<impl Write>) -> anyhow::Result<()> {
    let mut object = Object::load(&Setup {
        offsets: OFFSETS,
        nat_only: false,
        max_entries: ENTRIES,
        ring_bytes: 1 << 20,
        timed: ENTRIES,
    })?;
    let mut rows = Rows::default();
    for _ in 0..ROUNDS {
        object.reset()?;
        object.call("make_objects", [ENTRIES.into(), NEW])?;
        programs(&mut object, &mut rows)?;
        operations(&mut object, &mut rows)?;
    }
    let losses = object.losses()?;
    ensure!(losses.iter().all(|&lost| lost == 0), "losses: {losses:?}");
    print(out, &rows)
}

/// The programs in the place of their hooks.
fn programs(object: &mut Object, rows: &mut Rows) -> anyhow::Result<()> {
    for first in (0..ENTRIES).step_by(BATCH as usize) {
        time(object, rows, "no_program", "no program", first)?;
        time(object, rows, "packet", "a new connection", first)?;
        records(object, BATCH).context("begin")?;
        time(object, rows, "packet", "a repeated packet", first)?;
    }
    for first in (0..ENTRIES - 16 * BATCH).step_by(BATCH as usize) {
        time(
            object,
            rows,
            "packet",
            "a repeated packet, forgotten",
            first,
        )?;
        // Room that was taken and given back is free only when it has been read over.
        records(object, 0)?;
    }
    object.call("set_state", [ENTRIES.into(), ESTABLISHED])?;
    for first in (0..ENTRIES - 16 * BATCH).step_by(BATCH as usize) {
        time(object, rows, "packet", "an established packet", first)?;
    }
    for _ in 0..3 {
        let began = Instant::now();
        object.call("sweep", [0; 2])?;
        let ns = began.elapsed().as_nanos() as f64;
        ensure!(object.swept().kept == [ENTRIES, 0], "{:?}", object.swept());
        rows.add("a swept entry", ns / f64::from(ENTRIES));
    }
    for first in (0..ENTRIES).step_by(BATCH as usize) {
        time(object, rows, "end", "an end", first)?;
        records(object, BATCH).context("end")?;
    }
    for first in (0..ENTRIES).step_by(BATCH as usize) {
        time(object, rows, "confirm", "a new connection, by fexit", first)?;
        records(object, BATCH).context("confirm")?;
    }
    for first in (0..ENTRIES).step_by(BATCH as usize) {
        object.call("time_end", [first.into(), BATCH.into()])?;
        object.take(usize::MAX)?;
    }
    Ok(())
}

/// Each connection of a batch has been reported once.
fn records(object: &Object, expected: u32) -> anyhow::Result<()> {
    let records = object.take(usize::MAX)?.len();
    let losses = object.losses()?;
    ensure!(
        records == expected as usize,
        "{records} records, not {expected}; losses: {losses:?}"
    );
    Ok(())
}

/// What the tables cost on their own: each operation on every connection, in an order that leaves each table
/// empty.
fn operations(object: &mut Object, rows: &mut Rows) -> anyhow::Result<()> {
    for operation in [
        "nothing",
        "add_by_tuple",
        "find_by_tuple",
        "readd_by_tuple",
        "claim_and_remove_by_tuple",
        "find_then_add_by_tuple",
        "remove_by_tuple",
        "add_by_ct",
        "find_by_ct",
        "remove_by_ct",
        "add_by_ct_and_index",
        "remove_by_ct_and_index",
        "add_by_both",
        "find_by_both",
        "remove_by_both",
        "id_from_counter",
        "id_from_time",
    ] {
        for first in (0..ENTRIES).step_by(BATCH as usize) {
            time(object, rows, operation, operation, first)?;
        }
        let failures = object.data().failures;
        ensure!(
            failures == 0,
            "{operation}: {failures} did not do what they should"
        );
    }
    Ok(())
}

/// Runs a timed program on a batch.
fn time(
    object: &mut Object,
    rows: &mut Rows,
    program: &str,
    name: &'static str,
    first: u32,
) -> anyhow::Result<()> {
    object.call(&format!("time_{program}"), [first.into(), BATCH.into()])?;
    rows.add(name, object.data().timed_ns as f64 / f64::from(BATCH));
    Ok(())
}

fn print(out: &mut Lines<impl Write>, rows: &Rows) -> anyhow::Result<()> {
    out.text(&format!(
        "{ROUNDS} rounds of {ENTRIES} connections, medians, ns"
    ))?;
    let mut base = rows.median("no program");
    for row in &rows.0 {
        match row.name {
            "no program" => continue,
            "nothing" => {
                base = rows.median("nothing");
                continue;
            }
            // A walk has another loop, which is a part of it.
            "a swept entry" => out.text(&format!("{:<28} {:>6.0}", row.name, median(&row.runs)))?,
            name => out.text(&format!("{name:<28} {:>6.0}", median(&row.runs) - base))?,
        }
    }
    Ok(())
}
