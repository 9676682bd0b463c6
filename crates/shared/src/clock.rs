//! The kernel's clocks, in nanoseconds.

use std::io;
use std::time::Duration;

use nix::time::ClockId;

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
