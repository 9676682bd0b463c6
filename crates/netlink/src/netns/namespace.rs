//! A network namespace that is held open, and visits of the calling thread to it.
//!
//! A namespace made here has no name and no mount. The kernel deletes it with its last descriptor,
//! socket and thread, so a killed process leaves none behind.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::MetadataExt as _;
use std::panic;
use std::path::Path;
use std::thread;

use nix::sched::CloneFlags;
use nix::sched::setns;
use nix::sched::unshare;

use crate::Protocol;
use crate::Socket;
use crate::rtnetlink::link;

use super::error::Error;
use super::error::errno_of;

/// The calling thread's namespace; `/proc/self` would be that of the main thread.
pub(super) const OWN: &str = "/proc/thread-self/ns/net";

/// An open network namespace.
#[derive(Debug)]
pub struct Namespace {
    file: File,
    inum: u32,
}

impl Namespace {
    /// The namespace that the calling thread is in.
    ///
    /// # Errors
    /// If `/proc` is not mounted, or older than 3.17.
    pub fn current() -> Result<Self, Error> {
        Self::open(Path::new(OWN))
    }

    /// The namespace that a file stands for: `/run/netns/NAME`, `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// If the file cannot be opened, or is something else.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |path: &Path, error: io::Error| Error::Open {
            path: path.to_owned(),
            errno: errno_of(error),
        };
        let file = File::open(path).map_err(|error| failed(path, error))?;
        let inode = file.metadata().map_err(|error| failed(path, error))?;
        // All namespace files of a kernel, and no others, are on its one nsfs.
        let own = Path::new(OWN);
        let nsfs = own.metadata().map_err(|error| failed(own, error))?.dev();
        match u32::try_from(inode.ino()) {
            Ok(inum) if inode.dev() == nsfs => Ok(Self { file, inum }),
            _ => Err(Error::NotANamespace {
                path: path.to_owned(),
            }),
        }
    }

    /// Makes a new namespace and brings its loopback interface up. The calling thread enters the
    /// new one for a moment and then returns; other threads stay where they are.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN` (`EPERM`), on a kernel without network namespaces (`EINVAL`), or
    /// when there are too many of them (`ENOSPC`).
    pub fn create() -> Result<Self, Error> {
        let home = Self::current()?;
        unshare(CloneFlags::CLONE_NEWNET).map_err(Error::call("unshare(CLONE_NEWNET)"))?;
        let visit = Visit::returning_to(home);
        let created = Self::current()?;
        Socket::open(Protocol::Route)?.request(&mut link::set_up(link::LOOPBACK))?;
        visit.leave()?;
        Ok(created)
    }

    /// Another handle of the same namespace.
    ///
    /// # Errors
    /// If no file descriptor is left.
    pub fn try_clone(&self) -> Result<Self, Error> {
        let file = self.file.try_clone();
        Ok(Self {
            file: file.map_err(Error::call("dup of a namespace"))?,
            inum: self.inum,
        })
    }

    /// The namespace's inode number, as in `net:[4026531840]`: its name in records.
    #[must_use]
    pub fn inum(&self) -> u32 {
        self.inum
    }

    /// Moves the calling thread into this namespace until the visit is left or dropped. Visits
    /// nest: each returns to where the thread was when it began.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN`.
    pub fn visit(&self) -> Result<Visit, Error> {
        let home = Self::current()?;
        self.enter()?;
        Ok(Visit::returning_to(home))
    }

    /// Does `work` in this namespace on a thread of its own; the calling thread waits and stays
    /// where it is.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN`, or if no thread can be started.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        thread::scope(|scope| {
            thread::Builder::new()
                .name("netns".into())
                .spawn_scoped(scope, || self.enter().map(|()| work()))
                .map_err(Error::call("start a thread"))?
                .join()
                .unwrap_or_else(|payload| panic::resume_unwind(payload))
        })
    }

    /// Opens a request socket in this namespace; it stays there, whichever thread uses it.
    ///
    /// # Errors
    /// As [`run`](Self::run), or if the socket cannot be opened.
    pub fn socket(&self, protocol: Protocol) -> Result<Socket, Error> {
        Ok(self.run(|| Socket::open(protocol))??)
    }

    fn enter(&self) -> Result<(), Error> {
        setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(Error::call("setns(CLONE_NEWNET)"))
    }
}

/// The calling thread's stay in a namespace; when it ends, the thread returns to where it was.
#[derive(Debug)]
#[must_use = "a visit ends when it is dropped"]
pub struct Visit {
    home: Option<Namespace>,
    /// A thread can only bring itself back, so a visit must not move to another one.
    on_this_thread: PhantomData<*const ()>,
}

impl Visit {
    fn returning_to(home: Namespace) -> Self {
        Self {
            home: Some(home),
            on_this_thread: PhantomData,
        }
    }

    /// Ends the visit.
    ///
    /// # Errors
    /// If `CAP_SYS_ADMIN` was dropped meanwhile: the thread is still in the namespace then.
    pub fn leave(mut self) -> Result<(), Error> {
        self.home.take().map_or(Ok(()), |home| home.enter())
    }

    /// The thread stays in the namespace for good.
    pub fn stay(mut self) {
        self.home = None;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.home.take().map(|home| home.enter()) {
            log::error!("this thread cannot leave its network namespace: {error}");
        }
    }
}
