//! The boot and the clocks that a ring's times refer to, as numbers.

use std::fs;
use std::io;
use std::time::Duration;

use nix::time::ClockId;

/// `/proc/sys/kernel/random/boot_id` as two words.
///
/// # Errors
/// If the file cannot be read or holds no UUID.
pub fn boot_id() -> io::Result<[u64; 2]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let id = u128::from_str_radix(&digits, 16)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no boot id"))?;
    Ok([(id >> 64) as u64, id as u64])
}

/// CLOCK_REALTIME in nanoseconds.
///
/// # Errors
/// If the clock cannot be read.
pub fn realtime_ns() -> io::Result<u64> {
    clock_ns(ClockId::CLOCK_REALTIME)
}

/// CLOCK_MONOTONIC in nanoseconds.
///
/// # Errors
/// If the clock cannot be read.
pub fn monotonic_ns() -> io::Result<u64> {
    clock_ns(ClockId::CLOCK_MONOTONIC)
}

/// CLOCK_REALTIME less CLOCK_MONOTONIC, in nanoseconds.
///
/// # Errors
/// If a clock cannot be read.
pub fn realtime_offset_ns() -> io::Result<u64> {
    Ok(realtime_ns()?.wrapping_sub(monotonic_ns()?))
}

fn clock_ns(clock: ClockId) -> io::Result<u64> {
    let now = Duration::from(clock.now()?);
    Ok(now.as_nanos() as u64)
}
