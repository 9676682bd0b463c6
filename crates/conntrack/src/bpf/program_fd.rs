//! What libbpf-rs does not offer for the descriptor of a program: to run it, to pin it, and to ask how
//! often the kernel skipped it.
#![expect(
    unsafe_code,
    reason = "calls of libbpf that libbpf-rs does not wrap for a descriptor"
)]

use std::ffi::CString;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use libbpf_rs::libbpf_sys;

/// Runs a raw tracepoint program once with this context and gives its return value.
///
/// # Errors
/// What the kernel says.
pub fn run(program: BorrowedFd<'_>, context: &[u8]) -> io::Result<u32> {
    let mut options = libbpf_sys::bpf_test_run_opts {
        sz: size_of::<libbpf_sys::bpf_test_run_opts>() as _,
        ctx_in: context.as_ptr().cast(),
        ctx_size_in: context.len() as u32,
        ..Default::default()
    };
    let program = program.as_raw_fd();
    // SAFETY: `options` lives for the call, its size is right, and its context is read only, within the
    // given length.
    let result = unsafe { libbpf_sys::bpf_prog_test_run_opts(program, &raw mut options) };
    match result {
        0 => Ok(options.retval),
        errno => Err(io::Error::from_raw_os_error(-errno)),
    }
}

/// Pins a program at a path in a bpffs.
///
/// # Errors
/// What the kernel says.
pub fn pin(program: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is a string that ends with a zero and lives for the call.
    match unsafe { libbpf_sys::bpf_obj_pin(program.as_raw_fd(), path.as_ptr()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(-errno)),
    }
}

/// How often the kernel did not run a program because one was running there already; 0 before 5.12,
/// which does not count it.
///
/// # Errors
/// What the kernel says.
pub fn skipped(program: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut length = size_of::<libbpf_sys::bpf_prog_info>() as u32;
    // SAFETY: both live for the call, and the kernel writes at most `length` bytes into `info`. No
    // pointer in `info` is set.
    let result = unsafe {
        libbpf_sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &raw mut info, &raw mut length)
    };
    match result {
        0 => Ok(info.recursion_misses),
        errno => Err(io::Error::from_raw_os_error(-errno)),
    }
}
