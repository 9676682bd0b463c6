//! The futex on which an idle reader sleeps until the writer wakes it. To wait needs no write access to
//! the ring; to wake without a sleeper costs one system call that does nothing.
#![expect(
    unsafe_code,
    reason = "futex(2) has no safe wrapper in the crates we use"
)]

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Sleeps until the word is no longer `seen`, a writer rings, or the timeout expires.
///
/// May return early for any reason; the caller checks the ring again.
pub fn wait(word: &AtomicU32, seen: u32, timeout: Duration) {
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs().min(3600) as libc::time_t,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // SAFETY: `word` is a live, aligned u32 and `timeout` a live timespec for the whole call;
    // FUTEX_WAIT reads both and writes neither.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            seen,
            &raw const timeout,
        );
    }
}

/// Wakes every reader that sleeps on the word.
pub fn ring(word: &AtomicU32) {
    word.fetch_add(1, Ordering::Release);
    // SAFETY: `word` is a live, aligned u32; FUTEX_WAKE only uses its address.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX);
    }
}
