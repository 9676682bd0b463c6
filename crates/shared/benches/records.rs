//! What a record costs: into the ring, out of it, and as a line of JSON; beside a pipe that
//! carries the same bytes. `cargo bench -p shared`; medians of many rounds and their ratio.

use std::fs::File;
use std::hint::black_box;
use std::io;
use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::time::Instant;

use shared::line::Lines;
use shared::record::Flow;
use shared::record::Record;
use shared::record::wire::address_bytes;
use shared::record::wire::family;
use shared::record::wire::kind;
use shared::record::wire::known;
use shared::ring::Reader;
use shared::ring::RingName;
use shared::ring::Writer;
use shared::ring::layout::Source;
use shared::ring::reader::Next;
use zerocopy::IntoBytes as _;

const ROUNDS: usize = 41;
/// Fits into a pipe's buffer, so that the pipe never has to wait.
const RECORDS: usize = 256;

fn median_ns(mut round: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..100 {
                round();
            }
            start.elapsed().as_nanos() as f64 / (100 * RECORDS) as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

fn sample() -> Record {
    let v4 = |last| address_bytes(Ipv4Addr::new(192, 0, 2, last).into());
    let mut record = Record {
        ts_mono_ns: 123_456_789_012,
        ts_ns: 1_795_325_274_085_362_531,
        ct_id: 0xabcdef,
        r#type: kind::NEW,
        family: family::IPV4,
        proto: 6,
        netns_ino: 4_026_531_840,
        status: 0x1be,
        known: known::NETNS | known::STATUS | known::MARK | known::ZONE | known::TIME,
        orig_src: v4(1),
        orig_dst: v4(2),
        reply_src: v4(3),
        reply_dst: v4(4),
        orig_sport: 40_000,
        orig_dport: 443,
        reply_sport: 8443,
        reply_dport: 40_000,
        ..Record::BLANK
    };
    record.nat = record.nat_from_tuples();
    record
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name: RingName = format!("sextant-bench-{}", std::process::id()).parse()?;
    let mut writer = Writer::create(&name, 16 << 20, Source::Tracepoint)?;
    let record = sample();

    let write = median_ns(|| {
        for _ in 0..RECORDS {
            writer.push(black_box(&record));
        }
        writer.ring_doorbell();
    });
    let mut reader = Reader::open(&name)?;
    let both = median_ns(|| {
        for _ in 0..RECORDS {
            writer.push(black_box(&record));
        }
        let mut left = RECORDS;
        while left > 0 {
            match reader.advance() {
                Next::Record(record) => {
                    black_box(record);
                    left -= 1;
                }
                Next::Lost(count) => left = left.saturating_sub(count as usize),
                Next::Empty => break,
            }
        }
    });
    while reader.advance() != Next::Empty {}

    let (from, to) = nix::unistd::pipe()?;
    let (mut from, mut to) = (File::from(from), File::from(to));
    let mut buffer = [0; 192];
    let pipe = median_ns(|| {
        for _ in 0..RECORDS {
            to.write_all(record.as_bytes()).expect("the pipe has room");
        }
        for _ in 0..RECORDS {
            from.read_exact(&mut buffer).expect("the pipe has records");
            black_box(&buffer);
        }
    });

    let mut lines = Lines::to(io::sink());
    let json = median_ns(|| {
        for _ in 0..RECORDS {
            let flow = Flow::from_record(black_box(&record), "tracepoint");
            lines.json(&flow).expect("a sink takes all");
        }
    });

    let mut out = Lines::stdout();
    for (what, ns) in [
        ("ring write", write),
        ("ring read", both - write),
        ("ring write + read", both),
        ("pipe write + read (peer)", pipe),
        ("record to NDJSON line", json),
    ] {
        out.text(&format!("{what:<28}{ns:>8.1} ns"))?;
    }
    out.text(&format!(
        "pipe / ring                 {:>8.1} x",
        pipe / both
    ))?;
    Ok(out.flush()?)
}
