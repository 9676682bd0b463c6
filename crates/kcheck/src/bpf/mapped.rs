//! Reads a word of a BPF map through a memory mapping. The only unsafe code of kcheck.
#![expect(
    unsafe_code,
    reason = "memory that the kernel shares is read through a pointer"
)]

use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;

use memmap2::MmapOptions;

/// The first eight bytes of what the descriptor maps.
pub fn first_word(map: impl AsFd) -> io::Result<u64> {
    let mapping = MmapOptions::new()
        .len(size_of::<u64>())
        .map_raw_read_only(map.as_fd().as_raw_fd())?;
    // SAFETY: the mapping starts on a page and is a word long, and it lives until the end of this
    // function. The kernel may change the word at any time, hence volatile; any value is a u64.
    Ok(unsafe { mapping.as_ptr().cast::<u64>().read_volatile() })
}
