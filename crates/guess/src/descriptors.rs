//! Room for the descriptors of a run, made before there are threads: later, the kernel would let an
//! RCU grace period pass each time the table grows (`expand_fdtable()` in `fs/file.c`), 14 ms and more.

use std::fs::File;

use rustix::io::fcntl_dupfd_cloexec;

/// As many as are usually allowed; a run takes some hundreds.
const DESCRIPTORS: i32 = 1024;

/// Makes the room. Without it, a run only takes longer.
pub fn reserve() {
    let highest = File::open("/dev/null").and_then(|file| {
        let highest = fcntl_dupfd_cloexec(&file, DESCRIPTORS - 1)?;
        drop(highest);
        Ok(())
    });
    if let Err(error) = highest {
        log::debug!("no room for {DESCRIPTORS} descriptors: {error}");
    }
}
