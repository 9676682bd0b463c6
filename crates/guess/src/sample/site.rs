//! A site is where experiments run: a temporary network namespace, with connection tracking if wanted, and
//! a thread that stays in it and opens sockets there. It ends with the process, whatever happens.

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
use nix::sys::stat::fstat;
use shared::capability::keep_only;
use shared::exit::Failure;

use super::address::bind_until_free;
use super::address::random_loopback;
use super::pool::Opener;
use super::pool::Pool;
use super::pool::SocketKind;
use super::pool::SocketType;
use super::socket;
use super::socket::Socket;
use super::tracking::Access;
use super::tracking::Tracking;
use crate::expected::socket::Facts;
use crate::expected::socket::Family;
use crate::privilege;

/// The kind of socket that receives from senders of either family.
const SINK: SocketKind = SocketType::Datagram.of(Family::Inet);

/// Which namespace a site uses.
#[derive(Debug)]
pub enum SiteKind {
    /// A new namespace, in which connections are not tracked.
    Plain,
    /// A new namespace, in which connections are tracked.
    Tracking(Access),
    /// An existing namespace, in which connections are tracked already; none: the only one.
    Borrowed(Option<Namespace>),
    /// The only one, on a kernel without namespaces. It is not changed.
    Only,
}

/// A source of sockets in one namespace, and what is known about the namespace.
#[derive(Debug)]
pub struct Site {
    /// The inode number of the namespace; none if the kernel has no namespaces, or if the `struct net`
    /// cannot be reached.
    pub inum: Option<u32>,
    /// How connections are tracked in it.
    pub tracking: Option<Tracking>,
    pool: Pool,
    /// A socket that receives datagrams.
    sink: Option<Socket>,
    kept: Vec<OwnedFd>,
}

/// A site that is being made.
#[derive(Debug)]
pub struct PendingSite(Receiver<anyhow::Result<Site>>);

impl PendingSite {
    /// Waits until it is ready.
    ///
    /// # Errors
    /// [`Failure::Kernel`] if the kernel has no namespaces or no connection tracking,
    /// [`Failure::Privilege`] if the caller lacks a privilege.
    pub fn ready(self) -> anyhow::Result<Site> {
        self.0.recv().context("make a network namespace")?
    }
}

impl Site {
    /// Begins to make a site with sockets of some kinds. In a new namespace with tracking, each connection
    /// gets the zone, the mark and the NAT that its packets ask for, as far as this kernel supports it.
    pub fn prepare<'scope>(
        scope: &'scope Scope<'scope, '_>,
        kind: SiteKind,
        sockets: &'static [SocketKind],
    ) -> PendingSite {
        let (made, pending) = mpsc::channel();
        let failed = made.clone();
        let live_there = move || match make(kind, sockets) {
            Ok((_namespace, site, opener)) => {
                // If the caller has failed meanwhile, nothing receives the site.
                let _ = made.send(Ok(site));
                opener.serve();
            }
            Err(error) => {
                let _ = made.send(Err(error));
            }
        };
        let thread = thread::Builder::new().name("site".into());
        if let Err(error) = thread.spawn_scoped(scope, live_there) {
            let _ = failed.send(Err(error).context("start a thread"));
        }
        PendingSite(pending)
    }

    /// Whether connections may be tracked in it.
    pub const fn may_track(&self) -> bool {
        self.tracking.is_some() || self.inum.is_none()
    }

    /// A fresh socket in it.
    ///
    /// # Errors
    /// If none can be opened.
    pub fn socket(&mut self, kind: SocketKind) -> anyhow::Result<OwnedFd> {
        self.pool.take(kind)
    }

    /// A fresh socket, bound to a random address. In an existing namespace its port may be in use; then
    /// another one is drawn.
    ///
    /// # Errors
    /// If none can be had or bound.
    pub fn bound(&mut self, kind: SocketKind, random: &mut Rng) -> anyhow::Result<Socket> {
        let fd = self.socket(kind)?;
        let at = bind_until_free(|| {
            let at = random_loopback(random);
            socket::bind(&fd, kind.family, at).map(|()| at)
        })?;
        self.adopt(fd, kind.family, at, random)
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
        socket::bind(&fd, kind.family, at).context("bind to loopback")?;
        self.adopt(fd, kind.family, at, random)
    }

    /// A socket in it that is bound to `at` already.
    ///
    /// # Errors
    /// If its inode cannot be read.
    pub fn adopt(
        &self,
        fd: OwnedFd,
        family: Family,
        at: SocketAddrV4,
        random: &mut Rng,
    ) -> anyhow::Result<Socket> {
        let ino = fstat(&fd).context("read the inode of a socket")?.st_ino;
        Ok(Socket {
            facts: Facts::new(random.u64(..), ino, self.inum, family, at),
            fd,
            option_words: 0,
        })
    }

    /// The address of a socket that receives datagrams. Without a receiver, the next datagram would fail.
    ///
    /// # Errors
    /// If no socket can be had.
    pub fn sink(&mut self, random: &mut Rng) -> anyhow::Result<SocketAddrV4> {
        let sink = match self.sink.take() {
            Some(sink) => sink,
            None => self.bound(SINK, random)?,
        };
        Ok(self.sink.insert(sink).facts.address())
    }

    /// Keeps a socket open as long as the site, so that its memory is not reused for another object.
    pub fn keep(&mut self, socket: OwnedFd) {
        self.kept.push(socket);
    }

    /// Closes the sockets that were kept, and the sink.
    pub fn release(&mut self) {
        self.sink = None;
        self.kept.clear();
    }

    /// Draws one of the families of which it has sockets.
    pub fn draw_family(&self, random: &mut Rng) -> Family {
        if self.has_inet6() && random.bool() {
            Family::Inet6
        } else {
            Family::Inet
        }
    }

    /// Whether it has IPv6 sockets.
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
    let is_borrowed = matches!(kind, SiteKind::Borrowed(_));
    let reachable = namespace
        .as_ref()
        .filter(|namespace| !is_borrowed || !may_be_initial(namespace));
    let (pool, opener) = Pool::open(sockets)?;
    let site = Site {
        inum: reachable.map(Namespace::inum),
        tracking,
        pool,
        sink: None,
        kept: Vec::new(),
    };
    // From now on this thread only opens sockets.
    keep_only(privilege::NOTHING)?;
    Ok((namespace, site, opener))
}

/// Whether this may be the initial namespace. Its `struct net` is part of the kernel's image, where no
/// pointer is followed, and not a slab object. Usually the first process is in this namespace.
fn may_be_initial(namespace: &Namespace) -> bool {
    let first = fs::metadata("/proc/1/ns/net");
    first.map_or(true, |first| first.ino() == u64::from(namespace.inum()))
}

fn no_namespace(error: netns::Error) -> anyhow::Error {
    let why = format!("make a network namespace: {error}");
    match error.errno() {
        Some(Errno::EPERM | Errno::EACCES) => Failure::Privilege(why).into(),
        // ENOENT: there is no /proc/thread-self/ns/net.
        Some(Errno::EINVAL | Errno::ENOSYS | Errno::EAFNOSUPPORT | Errno::ENOENT) => {
            Failure::Kernel(why).into()
        }
        _ => anyhow::anyhow!(why),
    }
}
