//! A site is where experiments run: a throwaway network namespace, with connection tracking if wanted, and
//! a thread that lives in it and opens sockets there. It ends with the process, whatever happens.

use std::fs;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::thread::Scope;

use anyhow::Context as _;
use fastrand::Rng;
use netlink::netns;
use netlink::netns::Namespace;
use nix::errno::Errno;
use shared::capability::keep_only;
use shared::exit::Failure;

use super::address::bind_until_free;
use super::address::random_loopback;
use super::pool::Opener;
use super::pool::Pool;
use super::pool::SocketKind;
use super::pool::SocketType;
use super::socket::Socket;
use super::tracking::Access;
use super::tracking::Tracking;
use crate::expected::socket::Family;
use crate::privilege;

/// Receives what senders of either family send.
const SINK: SocketKind = SocketKind {
    family: Family::Inet,
    socket_type: SocketType::Datagram,
};

/// What a site is.
#[derive(Debug)]
pub enum SiteKind {
    /// A new namespace, in which connections are not tracked.
    Plain,
    /// A new namespace, in which they are.
    Tracking(Access),
    /// Somebody else's namespace, in which they are tracked already; none: the only one.
    Borrowed(Option<Namespace>),
    /// The only one, on a kernel without namespaces. Nothing is changed there.
    Only,
}

/// Where sockets can be had, and what is known of the namespace.
#[derive(Debug)]
pub struct Site {
    inum: Option<u32>,
    tracking: Option<Tracking>,
    pool: Pool,
    /// A socket that receives datagrams.
    sink: Option<Socket>,
    kept: Vec<OwnedFd>,
}

/// A site that is being made.
#[derive(Debug)]
pub struct PendingSite(Receiver<anyhow::Result<Site>>);

impl PendingSite {
    /// Waits until it is made.
    ///
    /// # Errors
    /// Exit 5 if the kernel has no namespaces or does not track, 4 if it is not permitted.
    pub fn ready(self) -> anyhow::Result<Site> {
        self.0.recv().context("make a network namespace")?
    }
}

impl Site {
    /// Begins to make a site, with sockets of some kinds. In a new one for tracking, each connection
    /// gets the zone, the mark and the NAT that its packets ask for, as far as this kernel can.
    pub fn prepare<'scope>(
        scope: &'scope Scope<'scope, '_>,
        kind: SiteKind,
        sockets: &'static [SocketKind],
    ) -> PendingSite {
        let (made, pending) = mpsc::channel();
        let failed = made.clone();
        let live_there = move || {
            let (namespace, opener) = match make(kind, sockets) {
                Ok((namespace, site, opener)) => {
                    // Whoever wanted the site may have failed meanwhile: then nobody listens.
                    let _ = made.send(Ok(site));
                    (namespace, opener)
                }
                Err(error) => {
                    let _ = made.send(Err(error));
                    return;
                }
            };
            opener.serve();
            drop(namespace);
        };
        if let Err(error) = thread::Builder::new()
            .name("site".into())
            .spawn_scoped(scope, live_there)
        {
            let _ = failed.send(Err(error).context("start a thread"));
        }
        PendingSite(pending)
    }

    /// Its inode number; none if the kernel has no namespaces, or if its struct cannot be reached.
    #[must_use]
    pub const fn inum(&self) -> Option<u32> {
        self.inum
    }

    /// How connections are tracked in it.
    #[must_use]
    pub const fn tracking(&self) -> Option<&Tracking> {
        self.tracking.as_ref()
    }

    /// Whether connections may be tracked in it.
    #[must_use]
    pub const fn may_track(&self) -> bool {
        self.tracking.is_some() || self.inum.is_none()
    }

    /// Lends it for use beside the site.
    pub const fn take_tracking(&mut self) -> Option<Tracking> {
        self.tracking.take()
    }

    /// Puts back what was lent.
    pub fn put_tracking(&mut self, tracking: Tracking) {
        self.tracking = Some(tracking);
    }

    /// A fresh socket in it.
    ///
    /// # Errors
    /// If none can be opened.
    pub fn socket(&mut self, kind: SocketKind) -> anyhow::Result<OwnedFd> {
        self.pool.take(kind)
    }

    /// A fresh socket, bound to a random address. In somebody else's namespace its port may be taken;
    /// then another one is drawn.
    ///
    /// # Errors
    /// If none can be had or bound.
    pub fn bound(&mut self, kind: SocketKind, random: &mut Rng) -> anyhow::Result<Socket> {
        let fd = self.socket(kind)?;
        let at = random_loopback(random);
        let mut socket = self.adopt(fd, kind.family, at, random)?;
        bind_until_free(|| {
            socket.facts.move_to(random_loopback(random));
            socket.bind()
        })?;
        Ok(socket)
    }

    /// A fresh socket, bound to this address.
    ///
    /// # Errors
    /// If none can be had or bound.
    pub fn bound_at(
        &mut self,
        kind: SocketKind,
        at: SocketAddrV4,
        random: &mut Rng,
    ) -> anyhow::Result<Socket> {
        let fd = self.socket(kind)?;
        let socket = self.adopt(fd, kind.family, at, random)?;
        socket.bind().context("bind to loopback")?;
        Ok(socket)
    }

    /// A socket in it that is at `at` already.
    ///
    /// # Errors
    /// If it has no inode.
    pub fn adopt(
        &self,
        fd: OwnedFd,
        family: Family,
        at: SocketAddrV4,
        random: &mut Rng,
    ) -> anyhow::Result<Socket> {
        Socket::of(fd, family, self.inum, at, random.u64(..))
    }

    /// Where datagrams are received: without a receiver, what is sent next would fail.
    ///
    /// # Errors
    /// If no socket can be had.
    pub fn sink(&mut self, random: &mut Rng) -> anyhow::Result<SocketAddrV4> {
        let sink = match self.sink.take() {
            Some(sink) => sink,
            None => self.bound(SINK, random)?,
        };
        Ok(self.sink.insert(sink).address())
    }

    /// Keeps a socket as long as the site: while it is open, its memory is not given to another object.
    pub fn keep(&mut self, socket: OwnedFd) {
        self.kept.push(socket);
    }

    /// Closes what was kept, and the sink.
    pub fn release(&mut self) {
        self.sink = None;
        self.kept.clear();
    }

    /// A family of which it has sockets.
    pub fn draw_family(&self, random: &mut Rng) -> Family {
        if self.has_inet6() && random.bool() {
            Family::Inet6
        } else {
            Family::Inet
        }
    }

    /// Whether it has IPv6 sockets.
    #[must_use]
    pub fn has_inet6(&self) -> bool {
        self.pool.has_inet6()
    }
}

/// Moves the calling thread into the namespace for good.
fn make(
    kind: SiteKind,
    sockets: &[SocketKind],
) -> anyhow::Result<(Option<Namespace>, Site, Opener)> {
    let namespace = match &kind {
        SiteKind::Plain | SiteKind::Tracking(_) => Some(Namespace::create().map_err(no_namespace)?),
        SiteKind::Borrowed(Some(namespace)) => Some(namespace.try_clone().map_err(no_namespace)?),
        SiteKind::Borrowed(None) | SiteKind::Only => None,
    };
    if let Some(namespace) = &namespace {
        namespace.visit().map_err(no_namespace)?.stay();
    }
    let tracking = match &kind {
        SiteKind::Plain | SiteKind::Only => None,
        SiteKind::Tracking(access) => Some(Tracking::switch_on(access)?),
        SiteKind::Borrowed(_) => Some(Tracking::borrowed()?),
    };
    let is_reachable = match &kind {
        SiteKind::Borrowed(Some(namespace)) => !may_be_initial(namespace),
        _ => true,
    };
    let reachable = namespace.as_ref().filter(|_| is_reachable);
    let (pool, opener) = Pool::open(sockets)?;
    let site = Site {
        inum: reachable.map(Namespace::inum),
        tracking,
        pool,
        sink: None,
        kept: Vec::new(),
    };
    // From here on this thread opens sockets only.
    keep_only(privilege::NOTHING)?;
    Ok((namespace, site, opener))
}

/// Whether this may be the initial namespace, whose struct is no object of the slab but part of the
/// kernel's image, where no pointer is followed. The first process is in it, as a rule.
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
