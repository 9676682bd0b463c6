//! Makes room for the descriptors of a run before there are threads. Later, the kernel would wait for an RCU
//! grace period, 14 ms or more, each time the table grows (`expand_fdtable()` in `fs/file.c`).

use std::fs::File;

use rustix::io::fcntl_dupfd_cloexec;

/// The usual limit; a run uses a few hundred.
const DESCRIPTORS: i32 = 1024;

/// Makes the room. If that fails, a run only takes longer.
pub fn reserve() {
    let highest =
        File::open("/dev/null").and_then(|file| Ok(fcntl_dupfd_cloexec(&file, DESCRIPTORS - 1)?));
    if let Err(error) = highest {
        log::debug!("no room for {DESCRIPTORS} descriptors: {error}");
    }
}
