//! The ground on which experiments run: a throwaway network namespace, with connection tracking if
//! wanted, and a thread that lives in it and opens sockets there. It ends with the process, whatever
//! happens.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::thread;
use std::thread::Scope;

use anyhow::Context as _;
use netlink::netns;
use netlink::netns::Namespace;
use nix::errno::Errno;
use shared::exit::Failure;

use super::socket::Kind;
use super::socket::Manner;
use super::socket::Socket;
use super::supply::open_some;
use super::supply::serve;
use super::tracking::Access;
use super::tracking::Tracking;
use crate::expected::socket::Family;
use crate::privilege;
use crate::random::Random;

/// Receives what senders of either family send.
const SINK: Kind = Kind {
    family: Family::Inet,
    manner: Manner::Datagrams,
};

/// What a ground is.
#[derive(Debug)]
pub enum Place {
    /// A new namespace, in which connections are not tracked.
    Plain,
    /// A new namespace, in which they are.
    Tracking(Access),
    /// A namespace of somebody else, in which they are tracked already; none: the only one.
    Found(Option<Namespace>),
    /// The only one, on a kernel without namespaces. Nothing is changed there.
    Only,
}

/// Where sockets can be had, and what is known of the place.
#[derive(Debug)]
pub struct Ground {
    made: Made,
    /// Somebody who receives datagrams, and where.
    sink: Option<Socket>,
    kept: Vec<OwnedFd>,
    wants: Sender<Kind>,
    opened: Receiver<nix::Result<Vec<OwnedFd>>>,
}

/// What the thread in the namespace found there.
#[derive(Debug)]
struct Made {
    inum: Option<u32>,
    tracking: Option<Tracking>,
    /// Sockets that will be wanted at once.
    pools: HashMap<Kind, Vec<OwnedFd>>,
}

/// A ground that is being made.
#[derive(Debug)]
pub struct Preparing {
    made: Receiver<anyhow::Result<Made>>,
    wants: Sender<Kind>,
    opened: Receiver<nix::Result<Vec<OwnedFd>>>,
}

impl Preparing {
    /// Waits until it is made.
    ///
    /// # Errors
    /// Exit 5 if the kernel has no namespaces or does not track, 4 if it is not permitted.
    pub fn ready(self) -> anyhow::Result<Ground> {
        let made = self.made.recv().context("make a network namespace")??;
        Ok(Ground {
            made,
            sink: None,
            kept: Vec::new(),
            wants: self.wants,
            opened: self.opened,
        })
    }
}

impl Ground {
    /// Begins to make a ground, with sockets of some kinds. In a new one for tracking, each connection
    /// gets the zone, the mark and the rewriting that its packets ask for, as far as this kernel can.
    pub fn prepare<'scope>(
        scope: &'scope Scope<'scope, '_>,
        place: Place,
        stock: &'static [Kind],
    ) -> Preparing {
        let (made, made_there) = mpsc::channel();
        let (wants, wanted) = mpsc::channel();
        let (opened, opened_there) = mpsc::channel();
        let failed = made.clone();
        let lives_there = move || {
            let (namespace, found) = match make(place, stock) {
                Ok(made) => made,
                Err(error) => {
                    let _ = made.send(Err(error));
                    return;
                }
            };
            // Whoever wanted the ground may have failed meanwhile: then nobody listens.
            let _ = made.send(Ok(found));
            serve(&wanted, &opened);
            drop(namespace);
        };
        if let Err(error) = thread::Builder::new().spawn_scoped(scope, lives_there) {
            let _ = failed.send(Err(error).context("start a thread"));
        }
        Preparing {
            made: made_there,
            wants,
            opened: opened_there,
        }
    }

    /// Its inode number; none if the kernel has no namespaces, or if its struct cannot be reached.
    #[must_use]
    pub fn inum(&self) -> Option<u32> {
        self.made.inum
    }

    /// How connections are tracked in it.
    #[must_use]
    pub fn tracking(&self) -> Option<&Tracking> {
        self.made.tracking.as_ref()
    }

    /// Whether connections may be tracked in it.
    #[must_use]
    pub fn may_track(&self) -> bool {
        self.made.tracking.is_some() || self.made.inum.is_none()
    }

    /// Lends it for use beside the ground.
    pub fn take_tracking(&mut self) -> Option<Tracking> {
        self.made.tracking.take()
    }

    /// Puts back what was lent.
    pub fn put_tracking(&mut self, tracking: Tracking) {
        self.made.tracking = Some(tracking);
    }

    /// A fresh socket in it.
    ///
    /// # Errors
    /// If none can be opened.
    pub fn socket(&mut self, kind: Kind) -> anyhow::Result<OwnedFd> {
        let pool = self.made.pools.entry(kind).or_default();
        if pool.is_empty() {
            let sent = self.wants.send(kind);
            sent.context("the thread in the namespace has ended")?;
            let opened = self.opened.recv();
            *pool = opened
                .context("the thread in the namespace has ended")?
                .context("open a socket")?;
        }
        pool.pop().context("no socket is left")
    }

    /// Where datagrams are received: somebody has to be there, or what is sent next would fail.
    ///
    /// # Errors
    /// If no socket can be had.
    pub fn sink(&mut self, random: &mut Random) -> anyhow::Result<SocketAddrV4> {
        let sink = match self.sink.take() {
            Some(sink) => sink,
            None => Socket::bound(self, SINK, random)?,
        };
        Ok(self.sink.insert(sink).address())
    }

    /// Keeps a socket as long as the ground: while it lives, nothing else is where it is in memory.
    pub fn keep(&mut self, socket: OwnedFd) {
        self.kept.push(socket);
    }

    /// Closes what was kept, and the sink.
    pub fn release(&mut self) {
        self.sink = None;
        self.kept.clear();
    }

    /// A family of which it has sockets.
    pub fn draw_family(&self, random: &mut Random) -> Family {
        if self.has_inet6() && random.between(0, 2) == 0 {
            Family::Inet6
        } else {
            Family::Inet
        }
    }

    /// Whether it has IPv6 sockets.
    #[must_use]
    pub fn has_inet6(&self) -> bool {
        let mut kinds = self.made.pools.keys();
        kinds.any(|kind| kind.family == Family::Inet6)
    }
}

/// Moves the calling thread to a place for good.
fn make(place: Place, stock: &[Kind]) -> anyhow::Result<(Option<Namespace>, Made)> {
    let namespace = match &place {
        Place::Plain | Place::Tracking(_) => Some(Namespace::create().map_err(no_namespace)?),
        Place::Found(Some(namespace)) => Some(namespace.try_clone().map_err(no_namespace)?),
        Place::Found(None) | Place::Only => None,
    };
    if let Some(namespace) = &namespace {
        namespace.visit().map_err(no_namespace)?.stay();
    }
    let tracking = match &place {
        Place::Plain | Place::Only => None,
        Place::Tracking(access) => Some(Tracking::switch_on(access)?),
        Place::Found(_) => Some(Tracking::found()?),
    };
    let is_reachable = match &place {
        Place::Found(Some(namespace)) => !may_be_initial(namespace),
        _ => true,
    };
    let told = namespace.as_ref().filter(|_| is_reachable);
    let mut made = Made {
        inum: told.map(Namespace::inum),
        tracking,
        pools: HashMap::new(),
    };
    for kind in stock {
        match open_some(*kind) {
            Ok(sockets) => {
                made.pools.insert(*kind, sockets);
            }
            // IPv6 is not in force: nobody will want one.
            Err(Errno::EAFNOSUPPORT) if kind.family == Family::Inet6 => {}
            Err(error) => return Err(error).context("open a socket"),
        }
    }
    // From here on this thread opens sockets only.
    privilege::keep_only(privilege::NOTHING, &[])?;
    Ok((namespace, made))
}

/// Whether this may be the initial namespace, whose struct is no object of the slab but part of the
/// kernel's image, where nothing is followed. Whoever has it mostly is in it, as the first process is.
fn may_be_initial(namespace: &Namespace) -> bool {
    let first = fs::metadata("/proc/1/ns/net");
    first.map_or(true, |first| first.ino() == u64::from(namespace.inum()))
}

fn no_namespace(error: netns::Error) -> anyhow::Error {
    let errno = error.errno();
    let why = format!("make a network namespace: {error}");
    match errno {
        Some(Errno::EPERM | Errno::EACCES) => Failure::Privilege(why).into(),
        // ENOENT: there is no /proc/thread-self/ns/net.
        Some(Errno::EINVAL | Errno::ENOSYS | Errno::EAFNOSUPPORT | Errno::ENOENT) => {
            Failure::Kernel(why).into()
        }
        _ => anyhow::anyhow!(why),
    }
}
