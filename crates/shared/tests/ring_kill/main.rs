//! A writer that is killed again and again while it writes at full speed, with two readers: ours, and the one in C
//! (`contrib/ring/ringcat.c`). How often is the argument: `cargo test -p shared --test ring_kill -- 200`.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

mod compiler;
mod record;
mod storm;

use std::env;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::net::Ipv6Addr;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use harness::Process;
use harness::wait_until;
use shared::line::Lines;
use shared::ring::Reader;
use shared::ring::RingName;
use shared::ring::Writer;
use shared::ring::layout::Source;
use shared::ring::reader;
use shared::ring::reader::Next;
use tempfile::TempDir;

use crate::record::record;

/// The argument that makes this program the writer.
const STORM: &str = "storm";

/// What a reader has seen so far.
type Count = Arc<AtomicU64>;

/// Reads with our reader until the writer has ended, and returns how many records it lost.
fn read_in_rust(name: RingName, count: Count) -> JoinHandle<u64> {
    thread::spawn(move || {
        let mut reader = Reader::open(&name).unwrap();
        let mut lost = 0;
        loop {
            let writer = reader.writer().unwrap();
            match reader.advance() {
                Next::Record(mut found) => {
                    found.seq = 0;
                    assert_eq!(found, record(found.ct_id), "torn");
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Next::Lost(number) => lost += number,
                Next::Empty if writer != reader::Writer::Alive => {
                    assert_eq!(writer, reader::Writer::Died);
                    return lost;
                }
                Next::Empty => reader.wait(Duration::from_millis(100)),
            }
        }
    })
}

/// Checks a line of ringcat. True if it is a record.
fn check_line(line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    let &[kind, id, proto, orig_src, ">", orig_dst, "real", reply_src] = words.as_slice() else {
        assert!(line.starts_with("missed "), "{line}");
        return false;
    };
    let number = id.strip_prefix("id=").unwrap().parse().unwrap();
    let expected = record(number);
    assert_eq!((kind, proto), ("new", "proto=17"), "{line}");
    for (end, address, port) in [
        (orig_src, expected.orig_src, expected.orig_sport),
        (orig_dst, expected.orig_dst, expected.orig_dport),
        (reply_src, expected.reply_src, expected.reply_sport),
    ] {
        let (found, found_port) = end.rsplit_once('.').unwrap();
        assert_eq!(found.parse(), Ok(Ipv6Addr::from(address)), "torn: {line}");
        assert_eq!(found_port, port.to_string(), "torn: {line}");
    }
    true
}

/// Reads with the reader in C until it ends.
fn read_in_c(program: &Path, ring: &Path, count: Count) -> (Process, JoinHandle<()>) {
    let mut command = Command::new(program);
    command.arg("-f").arg(ring);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::start(&mut command);
    let lines = BufReader::new(process.child().stdout.take().unwrap()).lines();
    let reader = thread::spawn(move || {
        for line in lines {
            if check_line(&line.unwrap()) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    (process, reader)
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [word, path] = args.as_slice() {
        if word == STORM {
            return storm::write(path);
        }
    }
    // Other words are for the tests that have cargo's own main.
    let kills = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(10);
    let summary = kill(kills);
    let mut out = Lines::stdout();
    out.text(&summary)?;
    Ok(out.flush()?)
}

/// No record is torn, both readers end, and the next writer starts. Returns what they did.
fn kill(kills: u64) -> String {
    let directory = TempDir::new().unwrap();
    let ringcat = compiler::ringcat(directory.path());
    let ring = directory.path().join("ring");
    let name: RingName = ring.to_str().unwrap().parse().unwrap();
    let (mut read, mut printed, mut lost) = (0, 0, 0);
    for kill in 0..kills {
        let mut command = Command::new(env::current_exe().unwrap());
        command.arg(STORM).arg(&ring);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut writer = Process::start(&mut command);
        let mut said = [0; 8];
        let stdout = writer.child().stdout.as_mut().unwrap();
        stdout.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"writing\n");

        let [ours, theirs] = [Count::default(), Count::default()];
        let rust = read_in_rust(name.clone(), Arc::clone(&ours));
        let (mut process, c) = read_in_c(&ringcat, &ring, Arc::clone(&theirs));
        // Another moment each time, from the very beginning on.
        let enough = 1 + kill * 7919 % 10_000;
        wait_until("both readers read", || {
            let counts = [&ours, &theirs].map(|count| count.load(Ordering::Relaxed));
            counts.iter().all(|count| *count >= enough) || rust.is_finished() || c.is_finished()
        });
        writer.kill();

        wait_until("our reader ends", || rust.is_finished());
        lost += rust.join().expect("no torn record, and a dead writer");
        assert_eq!(process.wait().code(), Some(1));
        let mut said = String::new();
        let mut stderr = process.child().stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        let shown = ring.display();
        assert_eq!(
            said,
            format!("ringcat: {shown} is of a writer that died without closing it\n")
        );
        c.join().expect("no torn record");
        read += ours.load(Ordering::Relaxed);
        printed += theirs.load(Ordering::Relaxed);
    }
    drop(Writer::create(&name, 1 << 20, Source::Tracepoint).unwrap());
    assert!(!ring.exists());
    format!(
        "{kills} kills: our reader read {read} records and lost {lost}; ringcat printed {printed}"
    )
}
