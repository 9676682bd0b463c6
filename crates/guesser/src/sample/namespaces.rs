//! The ground on which flows run: a throwaway network namespace with connection tracking, and
//! sockets in it. It ends with the process, whatever happens.

use std::os::fd::OwnedFd;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::socket;
use shared::exit::Failure;
use shared::netlink::Protocol;
use shared::netlink::Refusal;
use shared::netlink::Socket;
use shared::netns;
use shared::netns::Namespace;
use shared::netns::Part;
use shared::netns::Rules;
use shared::netns::conntrack_on;
use shared::nft;

use crate::expected::Abilities;

/// Sockets that are opened at once, since each visit to a namespace has a price.
const SOCKETS_AT_ONCE: usize = 24;

/// A namespace of our own.
#[derive(Debug)]
pub struct Ground {
    namespace: Namespace,
    sockets: Vec<OwnedFd>,
    can: Abilities,
    refused: Vec<(Part, Refusal)>,
}

impl Ground {
    /// Makes a namespace that tracks connections and gives each the zone, the mark and the
    /// rewriting that its packets ask for, as far as this kernel can.
    ///
    /// # Errors
    /// Exit 5 if the kernel has no namespaces or does not track, 4 if it is not permitted.
    pub fn tracked() -> anyhow::Result<Self> {
        let mut ground = Self::untracked()?;
        let rules = Rules::<std::net::Ipv4Addr> {
            zone: true,
            mark: true,
            wishes: true,
            ..Rules::default()
        };
        let visit = ground.namespace.visit().map_err(no_namespace)?;
        let mut netlink = Socket::open(Protocol::Netfilter).context("open a netfilter socket")?;
        let refused = conntrack_on(&mut netlink, &rules).map_err(|error| no_tracking(&error))?;
        ground.fill().context("open a socket")?;
        visit.leave().map_err(no_namespace)?;
        let lacks = |part| refused.iter().any(|(refused, _)| *refused == part);
        if let Some((_, refusal)) = refused.iter().find(|(part, _)| *part == Part::Tracking) {
            let why = format!("this kernel cannot track connections: {refusal}");
            return Err(Failure::Kernel(why).into());
        }
        ground.can = Abilities {
            zone: !lacks(Part::Zone),
            mark: !lacks(Part::Mark),
            nat: (lacks(Part::Dnat) == lacks(Part::Snat)).then(|| !lacks(Part::Dnat)),
        };
        ground.refused = refused;
        Ok(ground)
    }

    /// Makes a namespace that does not track connections.
    ///
    /// # Errors
    /// As [`tracked`](Self::tracked).
    pub fn untracked() -> anyhow::Result<Self> {
        Ok(Self {
            namespace: Namespace::create().map_err(no_namespace)?,
            sockets: Vec::new(),
            can: Abilities {
                zone: false,
                mark: false,
                nat: Some(false),
            },
            refused: Vec::new(),
        })
    }

    /// Its inode number.
    #[must_use]
    pub fn inum(&self) -> u32 {
        self.namespace.inum()
    }

    /// What it can do.
    #[must_use]
    pub fn can(&self) -> Abilities {
        self.can
    }

    /// What the kernel refused to do in it.
    #[must_use]
    pub fn refused(&self) -> &[(Part, Refusal)] {
        &self.refused
    }

    /// A fresh UDP socket in it.
    ///
    /// # Errors
    /// If none can be opened.
    pub fn socket(&mut self) -> anyhow::Result<OwnedFd> {
        if self.sockets.is_empty() {
            let visit = self.namespace.visit().map_err(no_namespace)?;
            self.fill().context("open a socket")?;
            visit.leave().map_err(no_namespace)?;
        }
        self.sockets.pop().context("no socket is left")
    }

    fn fill(&mut self) -> nix::Result<()> {
        for _ in 0..SOCKETS_AT_ONCE {
            self.sockets.push(socket(
                AddressFamily::Inet,
                SockType::Datagram,
                SockFlag::SOCK_CLOEXEC,
                None,
            )?);
        }
        Ok(())
    }
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
