//! A socket of our own of which everything is known, since we chose it: bound to a random address of
//! 127.0.0.0/8 and a random port.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::net::SocketAddrV4;
use std::net::SocketAddrV6;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::socket;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::SockaddrIn;
use nix::sys::socket::SockaddrIn6;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt;
use nix::sys::stat::fstat;

use super::ground::Ground;
use super::options::IpOptions;
use super::options::NoCheck;
use crate::expected::packet;
use crate::expected::socket::Facts;
use crate::expected::socket::Family;
use crate::random::Random;

/// So often somebody is found at a random port at most.
const PLACES: usize = 16;

/// How a socket talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Manner {
    /// UDP.
    Datagrams,
    /// TCP.
    Stream,
}

/// A kind of socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Its family.
    pub family: Family,
    /// How it talks.
    pub manner: Manner,
}

/// An open socket.
#[derive(Debug)]
pub struct Socket {
    /// The descriptor.
    pub fd: OwnedFd,
    /// What is known of it.
    pub facts: Facts,
    /// Words of IP options in its packets.
    option_words: u32,
}

impl Socket {
    /// Binds a socket of a ground to a random address. In a namespace of others its port may be taken;
    /// then another one is drawn.
    ///
    /// # Errors
    /// If none can be had or bound.
    pub fn bound(ground: &mut Ground, kind: Kind, random: &mut Random) -> anyhow::Result<Self> {
        let fd = ground.socket(kind)?;
        let mut socket = Self::of(fd, kind.family, ground, somewhere(random), random)?;
        until_free(|| {
            let at = somewhere(random);
            (socket.facts.receives, socket.facts.sends) = (*at.ip(), *at.ip());
            socket.facts.port = at.port();
            socket.bind()
        })?;
        Ok(socket)
    }

    /// Binds a socket of a ground to this address.
    ///
    /// # Errors
    /// If none can be had or bound.
    pub fn bound_at(
        ground: &mut Ground,
        kind: Kind,
        at: SocketAddrV4,
        random: &mut Random,
    ) -> anyhow::Result<Self> {
        let fd = ground.socket(kind)?;
        let socket = Self::of(fd, kind.family, ground, at, random)?;
        socket.bind().context("bind to loopback")?;
        Ok(socket)
    }

    /// A socket that is at `at` already.
    ///
    /// # Errors
    /// If it has no inode.
    pub fn of(
        fd: OwnedFd,
        family: Family,
        ground: &Ground,
        at: SocketAddrV4,
        random: &mut Random,
    ) -> anyhow::Result<Self> {
        let ino = fstat(&fd).context("look at a socket")?.st_ino;
        let facts = Facts {
            id: random.number(),
            ino,
            netns: ground.inum(),
            family,
            mirrors: (family == Family::Inet6).then_some(true),
            receives: *at.ip(),
            sends: *at.ip(),
            port: at.port(),
            peer: None,
        };
        Ok(Self {
            fd,
            facts,
            option_words: 0,
        })
    }

    fn bind(&self) -> nix::Result<()> {
        let fd = self.fd.as_raw_fd();
        let at = SocketAddrV4::new(self.facts.receives, self.facts.port);
        match self.facts.family {
            Family::Inet => socket::bind(fd, &SockaddrIn::from(at)),
            Family::Inet6 => {
                setsockopt(&self.fd, sockopt::Ipv6V6Only, &false)?;
                socket::bind(fd, &mapped(at))
            }
        }
    }

    /// Connects it.
    ///
    /// # Errors
    /// If that fails.
    pub fn connect(&mut self, peer: SocketAddrV4) -> nix::Result<()> {
        let fd = self.fd.as_raw_fd();
        match self.facts.family {
            Family::Inet => socket::connect(fd, &SockaddrIn::from(peer)),
            Family::Inet6 => socket::connect(fd, &mapped(peer)),
        }?;
        self.facts.peer = Some(peer);
        Ok(())
    }

    /// Dissolves its connection; it stays bound.
    ///
    /// # Errors
    /// If that fails.
    pub fn dissolve(&mut self) -> nix::Result<()> {
        rustix::net::connect_unspec(&self.fd)
            .map_err(|error| nix::errno::Errno::from_raw(error.raw_os_error()))?;
        self.facts.peer = None;
        // What remains of the peer is not told anywhere.
        self.facts.mirrors = None;
        Ok(())
    }

    /// Gives all packets to come this mark, and returns it.
    ///
    /// # Errors
    /// If it is refused.
    pub fn mark(&self, mark: u32) -> anyhow::Result<u32> {
        setsockopt(&self.fd, sockopt::Mark, &mark).context("set SO_MARK")?;
        Ok(mark)
    }

    /// Gives all packets to come a random number of option words. A kernel that refuses them sends
    /// without.
    pub fn draw_options(&mut self, random: &mut Random) {
        let words = random.between(0, packet::OPTION_WORDS);
        let options = OsString::from_vec(packet::options(words));
        if setsockopt(&self.fd, IpOptions, &options).is_ok() {
            self.option_words = words;
        }
    }

    /// Leaves checksums away, and with them what the kernel notes to compute them later.
    pub fn leave_checksums(&self) {
        // A kernel that refuses has one sample less that differs.
        let _ = setsockopt(&self.fd, NoCheck, &true);
    }

    /// Words of options in its packets.
    #[must_use]
    pub const fn option_words(&self) -> u32 {
        self.option_words
    }

    /// Sends bytes to its peer, or to `to`.
    ///
    /// # Errors
    /// If that fails.
    pub fn send(&self, bytes: &[u8], to: Option<SocketAddrV4>) -> nix::Result<()> {
        let fd = self.fd.as_fd().as_raw_fd();
        let flags = MsgFlags::MSG_NOSIGNAL;
        match (to, self.facts.family) {
            (None, _) => socket::send(fd, bytes, flags),
            (Some(to), Family::Inet) => socket::sendto(fd, bytes, &SockaddrIn::from(to), flags),
            (Some(to), Family::Inet6) => socket::sendto(fd, bytes, &mapped(to), flags),
        }
        .map(|_| ())
    }

    /// Where it sends from.
    #[must_use]
    pub const fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.facts.sends, self.facts.port)
    }
}

/// Binds until that succeeds: each time to somewhere else, as long as somebody is there already.
///
/// # Errors
/// If it is refused, or somebody is everywhere.
pub fn until_free(mut bind: impl FnMut() -> nix::Result<()>) -> anyhow::Result<()> {
    let mut bound = Err(Errno::EADDRINUSE);
    for _ in 0..PLACES {
        bound = bind();
        if bound != Err(Errno::EADDRINUSE) {
            break;
        }
    }
    bound.context("bind to loopback")
}

fn mapped(address: SocketAddrV4) -> SockaddrIn6 {
    let ip = address.ip().to_ipv6_mapped();
    SocketAddrV6::new(ip, address.port(), 0, 0).into()
}

/// An address of 127.0.0.0/8 other than its first and last, and a port.
pub fn somewhere(random: &mut Random) -> SocketAddrV4 {
    let host = random.between(1, (1 << 24) - 1);
    let address = Ipv4Addr::from(127 << 24 | host);
    SocketAddrV4::new(address, random.between(1024, 1 << 16) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_taken_is_drawn_anew() {
        for (taken, refusal, tries, is_bound) in [
            (0, Errno::EADDRINUSE, 1, true),
            (3, Errno::EADDRINUSE, 4, true),
            (PLACES, Errno::EADDRINUSE, PLACES, false),
            (3, Errno::EACCES, 1, false),
        ] {
            let mut tried = 0;
            let bound = until_free(|| {
                tried += 1;
                if tried <= taken { Err(refusal) } else { Ok(()) }
            });
            assert_eq!((tried, bound.is_ok()), (tries, is_bound));
        }
    }
}
