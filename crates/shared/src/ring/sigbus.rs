//! The handler of SIGBUS, the signal of an access to a mapped file that another process has cut short. In the
//! mappings of rings it puts zeros in the place of what is gone, and notes it; any other SIGBUS takes its usual course.
#![expect(unsafe_code, reason = "a signal handler replaces pages of a mapping")]

use std::io;
use std::mem;
use std::ptr;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::atomic::fence;

use libc::c_int;
use libc::c_void;
use libc::siginfo_t;

/// Protects a mapping from the SIGBUS of a file that is cut short, until this is dropped.
pub struct Guard(&'static Region);

impl Guard {
    /// Protects `bytes` bytes of a mapping that begins at `start`. Drop the guard before the mapping.
    ///
    /// # Errors
    /// If the handler cannot be installed.
    pub fn new(start: *const c_void, bytes: usize) -> io::Result<Self> {
        install()?;
        let _alone = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
        let mut region = &FIRST;
        while !region.is_free() {
            region = region
                .next
                .get_or_init(|| Box::leak(Box::new(Region::unused())));
        }
        region.set(start as usize, start as usize + bytes);
        Ok(Self(region))
    }

    /// Was a part of the file gone when this process used it?
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.0.cut.load(Ordering::Relaxed)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _alone = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.set(0, 0);
    }
}

/// Where one protected mapping lies. A handler may read it at any moment, so it is never freed, only used again.
struct Region {
    /// Odd while the addresses change.
    version: AtomicUsize,
    start: AtomicUsize,
    /// Zero if the region is not in use.
    end: AtomicUsize,
    cut: AtomicBool,
    next: OnceLock<&'static Self>,
}

static FIRST: Region = Region::unused();
/// Held by those who change regions; the handler takes no lock.
static CHANGES: Mutex<()> = Mutex::new(());
/// What happened on SIGBUS before.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(4096);

impl Region {
    const fn unused() -> Self {
        Self {
            version: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            cut: AtomicBool::new(false),
            next: OnceLock::new(),
        }
    }

    fn is_free(&self) -> bool {
        self.end.load(Ordering::Relaxed) == 0
    }

    fn set(&self, start: usize, end: usize) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        self.start.store(start, Ordering::Relaxed);
        self.end.store(end, Ordering::Relaxed);
        self.cut.store(false, Ordering::Relaxed);
        self.version.store(version + 2, Ordering::Release);
    }

    /// The end of the region if the address is in it. A region that changes right now belongs to no thread
    /// that could have accessed it.
    fn end_if_has(&self, address: usize) -> Option<usize> {
        let version = self.version.load(Ordering::Acquire);
        let start = self.start.load(Ordering::Relaxed);
        let end = self.end.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let is_stable = version % 2 == 0 && self.version.load(Ordering::Relaxed) == version;
        (is_stable && (start..end).contains(&address)).then_some(end)
    }
}

fn install() -> io::Result<()> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if *installed {
        return Ok(());
    }
    // SAFETY: sysconf only reads its argument.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    if let Ok(page_bytes) = usize::try_from(page_bytes) {
        PAGE_BYTES.store(page_bytes, Ordering::Relaxed);
    }
    // Known before the handler can run.
    let previous = replace_action(None)?;
    PREVIOUS.get_or_init(|| previous);
    let mut action = empty_action();
    let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_sigbus;
    action.sa_sigaction = handler as usize;
    // On the alternate stack, where one exists: the handler before it may be that of stack overflows.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    replace_action(Some(&action))?;
    *installed = true;
    Ok(())
}

fn empty_action() -> libc::sigaction {
    // SAFETY: plain numbers, an empty set of signals and an optional function: all valid as zero, and
    // zero means SIG_DFL.
    unsafe { mem::zeroed() }
}

/// The action on SIGBUS so far; if one is given, it takes its place.
fn replace_action(new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let new = new.map_or(ptr::null(), ptr::from_ref);
    let mut old = empty_action();
    // SAFETY: `new` is null or a live action whose handler lives as long as the program; `old` is live.
    match unsafe { libc::sigaction(libc::SIGBUS, new, &raw mut old) } {
        0 => Ok(old),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Uses atomics and system calls only: it may run at any instruction of the program.
extern "C" fn on_sigbus(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a live siginfo to a handler with SA_SIGINFO.
    let what = unsafe { &*info };
    // SAFETY: used only if the signal comes from a fault (below), whose siginfo has an address.
    let address = unsafe { what.si_addr() } as usize;
    // BUS_ADRERR: no page lies behind this address. A page of broken memory has another code.
    if what.si_code != libc::BUS_ADRERR || !replace_pages(address) {
        pass_on(signal, info, context);
    }
}

/// Puts zeros from the page of this address to the end of the ring's mapping: a file is cut at its end, so
/// what follows is gone, too. False if no ring is there.
fn replace_pages(address: usize) -> bool {
    let mut region = &FIRST;
    let end = loop {
        if let Some(end) = region.end_if_has(address) {
            break end;
        }
        match region.next.get() {
            Some(next) => region = next,
            None => return false,
        }
    };
    region.cut.store(true, Ordering::Relaxed);
    let page = address & !(PAGE_BYTES.load(Ordering::Relaxed) - 1);
    // SAFETY: only pages of a ring's mapping are replaced, which the accessing thread keeps alive. They
    // remain readable and writable memory of the same size, used as atomics only.
    let zeros = unsafe {
        libc::mmap(
            page as *mut c_void,
            end - page,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    zeros != libc::MAP_FAILED
}

/// What would have happened without this handler.
fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let previous = PREVIOUS.get().copied().unwrap_or_else(empty_action);
    match previous.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            let _ = replace_action(Some(&empty_action()));
            // SAFETY: raise has no preconditions. The signal is blocked until this handler returns, and ends
            // the process then.
            unsafe { libc::raise(signal) };
        }
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: the flag says that this is the address of a handler with three arguments.
            let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                unsafe { mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: without the flag, it is the address of a handler with one argument.
            let handler: extern "C" fn(c_int) = unsafe { mem::transmute(handler) };
            handler(signal);
        }
    }
}

#[cfg(all(test, not(loom)))]
#[expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]
mod tests {
    use super::*;
    use std::env;
    use std::fs::File;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;
    use std::sync::atomic::AtomicU8;

    use memmap2::MmapRaw;

    /// Tells the child process of a test what to do.
    const CHILD: &str = "SEXTANT_TEST_FAULTS";

    /// A file in memory that has lost its only page.
    fn cut() -> (File, MmapRaw) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8).unwrap();
        let map = MmapRaw::map_raw(&file).unwrap();
        file.set_len(0).unwrap();
        (file, map)
    }

    fn load(map: &MmapRaw) -> u8 {
        // SAFETY: the mapping is 8 bytes long, and used by nobody else.
        let byte = unsafe { AtomicU8::from_ptr(map.as_mut_ptr()) };
        byte.load(Ordering::Relaxed)
    }

    fn guard(map: &MmapRaw) -> Guard {
        Guard::new(map.as_ptr().cast(), map.len()).unwrap()
    }

    #[test]
    fn what_is_gone_from_a_guarded_mapping_is_zero_and_noted_for_it_alone() {
        let maps = [cut(), cut(), cut()];
        let guards = [0, 1, 2].map(|map: usize| guard(&maps[map].1));
        assert_eq!(load(&maps[1].1), 0);
        let noted = guards.each_ref().map(Guard::was_cut);
        assert_eq!(noted, [false, true, false]);
        drop(guards);
        // The region of a guard that is gone is used again, and is as new.
        let other = cut();
        assert!(!guard(&other.1).was_cut());
    }

    #[test]
    fn a_fault_outside_of_guarded_mappings_still_ends_the_process() {
        let name =
            "ring::sigbus::tests::a_fault_outside_of_guarded_mappings_still_ends_the_process";
        if env::var_os(CHILD).is_some() {
            let (guarded, bare) = (cut(), cut());
            let _guard = guard(&guarded.1);
            load(&bare.1);
            return;
        }
        let mut command = Command::new(env::current_exe().unwrap());
        let ended = command.args(["--exact", name]).env(CHILD, "1").output();
        let status = ended.unwrap().status;
        assert_eq!(status.signal(), Some(libc::SIGBUS), "{status}");
    }
}
