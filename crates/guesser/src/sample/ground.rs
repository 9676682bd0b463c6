//! The ground on which experiments run: a throwaway network namespace, with connection tracking if
//! wanted, and a thread that lives in it and opens sockets there. It ends with the process, whatever
//! happens.

use std::collections::HashMap;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::thread::Scope;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::socket;
use shared::exit::Failure;
use shared::netlink::Protocol;
use shared::netlink::Refusal;
use shared::netlink::Socket as Netlink;
use shared::netns;
use shared::netns::Namespace;
use shared::netns::Part;
use shared::netns::Rules;
use shared::netns::conntrack_on;
use shared::nft;

use super::socket::Kind;
use super::socket::Manner;
use crate::expected::connection::Abilities;
use crate::expected::socket::Family;

/// Sockets that are opened at once, since another thread has to do it.
const SOCKETS_AT_ONCE: usize = 16;
/// How long a UDP connection lasts, before and after its second packet.
const TIMEOUTS: [&str; 2] = [
    "/proc/sys/net/netfilter/nf_conntrack_udp_timeout",
    "/proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream",
];

/// What a ground is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Connections are tracked there.
    Tracking,
    /// They are not.
    Plain,
}

/// A namespace of our own.
#[derive(Debug)]
pub struct Ground {
    made: Made,
    kept: Vec<OwnedFd>,
    wants: Sender<Kind>,
    opened: Receiver<nix::Result<Vec<OwnedFd>>>,
}

/// What the thread in the namespace found there.
#[derive(Debug)]
struct Made {
    inum: u32,
    tracks: bool,
    can: Abilities,
    refused: Vec<(Part, Refusal)>,
    timeouts: Option<[File; 2]>,
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
            kept: Vec::new(),
            wants: self.wants,
            opened: self.opened,
        })
    }
}

impl Ground {
    /// Begins to make a namespace, with sockets of some kinds. One for tracking gives each connection
    /// the zone, the mark and the rewriting that its packets ask for, as far as this kernel can.
    pub fn prepare<'scope>(
        scope: &'scope Scope<'scope, '_>,
        purpose: Use,
        stock: &'static [Kind],
    ) -> Preparing {
        let (made, made_there) = mpsc::channel();
        let (wants, wanted) = mpsc::channel();
        let (opened, opened_there) = mpsc::channel();
        scope.spawn(move || {
            let (namespace, found) = match make(purpose, stock) {
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
        });
        Preparing {
            made: made_there,
            wants,
            opened: opened_there,
        }
    }

    /// Its inode number.
    #[must_use]
    pub fn inum(&self) -> Option<u32> {
        Some(self.made.inum)
    }

    /// What it can do.
    #[must_use]
    pub fn can(&self) -> Abilities {
        self.made.can
    }

    /// Whether connections are tracked in it.
    #[must_use]
    pub fn tracks(&self) -> bool {
        self.made.tracks
    }

    /// What the kernel refused to do in it.
    #[must_use]
    pub fn refused(&self) -> &[(Part, Refusal)] {
        &self.made.refused
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

    /// Keeps a socket as long as the ground: while it lives, nothing else is where it is in memory.
    pub fn keep(&mut self, socket: OwnedFd) {
        self.kept.push(socket);
    }

    /// Closes what was kept.
    pub fn release(&mut self) {
        self.kept.clear();
    }

    /// Whether it has IPv6 sockets.
    #[must_use]
    pub fn has_inet6(&self) -> bool {
        let mut kinds = self.made.pools.keys();
        kinds.any(|kind| kind.family == Family::Inet6)
    }

    /// Makes UDP connections last so long from their next packet on; says whether it can.
    #[must_use]
    pub fn set_timeout_s(&self, seconds: u32) -> bool {
        let text = format!("{seconds}\n");
        self.made.timeouts.as_ref().is_some_and(|files| {
            files
                .iter()
                .all(|file| file.write_all_at(text.as_bytes(), 0).is_ok())
        })
    }
}

/// Opens sockets until nobody wants any.
fn serve(wanted: &Receiver<Kind>, opened: &Sender<nix::Result<Vec<OwnedFd>>>) {
    for kind in wanted {
        if opened.send(open_some(kind)).is_err() {
            break;
        }
    }
}

fn open_some(kind: Kind) -> nix::Result<Vec<OwnedFd>> {
    (0..SOCKETS_AT_ONCE).map(|_| open(kind)).collect()
}

fn open(kind: Kind) -> nix::Result<OwnedFd> {
    let family = match kind.family {
        Family::Inet => AddressFamily::Inet,
        Family::Inet6 => AddressFamily::Inet6,
    };
    let manner = match kind.manner {
        Manner::Datagrams => SockType::Datagram,
        Manner::Stream => SockType::Stream,
    };
    socket(family, manner, SockFlag::SOCK_CLOEXEC, None)
}

/// Moves the calling thread into a new namespace for good.
fn make(purpose: Use, stock: &[Kind]) -> anyhow::Result<(Namespace, Made)> {
    let namespace = Namespace::create().map_err(no_namespace)?;
    namespace.visit().map_err(no_namespace)?.stay();
    let mut made = Made {
        inum: namespace.inum(),
        tracks: purpose == Use::Tracking,
        can: Abilities {
            zone: false,
            mark: false,
            nat: Some(false),
        },
        refused: Vec::new(),
        timeouts: None,
        pools: HashMap::new(),
    };
    if purpose == Use::Tracking {
        track(&mut made)?;
    }
    for kind in stock {
        // Without IPv6 there are no such sockets; who wants one is told then.
        if let Ok(sockets) = open_some(*kind) {
            made.pools.insert(*kind, sockets);
        }
    }
    Ok((namespace, made))
}

/// Switches tracking on in the calling thread's namespace.
fn track(made: &mut Made) -> anyhow::Result<()> {
    let rules = Rules::<Ipv4Addr> {
        zone: true,
        mark: true,
        wishes: true,
        ..Rules::default()
    };
    let mut netlink = Netlink::open(Protocol::Netfilter).context("open a netfilter socket")?;
    let refused = conntrack_on(&mut netlink, &rules).map_err(|error| no_tracking(&error))?;
    let lacks = |part| refused.iter().any(|(refused, _)| *refused == part);
    if let Some((_, refusal)) = refused.iter().find(|(part, _)| *part == Part::Tracking) {
        let why = format!("this kernel cannot track connections: {refusal}");
        return Err(Failure::Kernel(why).into());
    }
    made.can = Abilities {
        zone: !lacks(Part::Zone),
        mark: !lacks(Part::Mark),
        nat: (lacks(Part::Dnat) == lacks(Part::Snat)).then(|| !lacks(Part::Dnat)),
    };
    made.refused = refused;
    let open = |path: &str| File::options().write(true).open(path);
    made.timeouts = match (open(TIMEOUTS[0]), open(TIMEOUTS[1])) {
        (Ok(first), Ok(second)) => Some([first, second]),
        (Err(error), _) | (_, Err(error)) => {
            log::debug!("{}: {error}", TIMEOUTS[0]);
            None
        }
    };
    Ok(())
}
fn no_namespace(error: netns::Error) -> anyhow::Error {
    let errno = error.errno();
    let why = format!("make a network namespace: {error}");
    match errno {
        Some(Errno::EPERM | Errno::EACCES) => Failure::Privilege(why).into(),
        Some(Errno::EINVAL | Errno::ENOSYS | Errno::EAFNOSUPPORT) => Failure::Kernel(why).into(),
        _ => anyhow::anyhow!(why),
    }
}

fn no_tracking(error: &nft::Error) -> anyhow::Error {
    let errno = match error {
        nft::Error::Batch(error) => error.errno(),
        nft::Error::Refused(objects) => objects.first().map(|object| object.refusal.errno),
    };
    let why = format!("switch connection tracking on in a namespace of our own: {error}");
    match errno {
        Some(Errno::EPERM | Errno::EACCES) => Failure::Privilege(why).into(),
        Some(Errno::ENOMEM | Errno::ENOBUFS) => anyhow::anyhow!(why),
        _ => Failure::Kernel(why).into(),
    }
}
