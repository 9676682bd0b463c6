//! The writer that is killed: writes a new ring as fast as it can, until its standard input ends.

use std::io;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use shared::clock::monotonic_ns;
use shared::line::Lines;
use shared::ring::Writer;
use shared::ring::layout::Source;

use crate::record::record;

/// 8192 slots: small enough to be lapped, large enough to be read.
const BYTES: u64 = 2 << 20;

/// Writes the ring of this name.
///
/// # Errors
/// If that fails.
pub fn write(path: &str) -> anyhow::Result<()> {
    let mut writer = Writer::create(&path.parse()?, BYTES, Source::Tracepoint)?;
    let mut out = Lines::stdout();
    out.text("writing")?;
    out.flush()?;

    let is_over = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&is_over);
    thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        ended.store(true, Ordering::Relaxed);
    });
    for number in 0.. {
        writer.push(&record(number));
        if number % 64 == 0 {
            writer.ring_doorbell();
        }
        if number % 65_536 == 0 {
            writer.heartbeat(monotonic_ns()?)?;
            if is_over.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    Ok(())
}
