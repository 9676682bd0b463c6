//! A socket of our own of which everything is known, since we chose it: bound to a random address of
//! 127.0.0.0/8 and a random port.

use std::ffi::OsString;
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

use super::options::IpOptions;
use super::options::NoCheck;
use crate::expected::packet;
use crate::expected::socket::Facts;
use crate::expected::socket::Family;
use fastrand::Rng;

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
    /// A socket that is at `at` already.
    ///
    /// # Errors
    /// If it has no inode.
    pub fn of(
        fd: OwnedFd,
        family: Family,
        netns: Option<u32>,
        at: SocketAddrV4,
        id: u64,
    ) -> anyhow::Result<Self> {
        let ino = fstat(&fd).context("look at a socket")?.st_ino;
        let facts = Facts {
            id,
            ino,
            netns,
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

    /// Binds it to the address that it is at.
    ///
    /// # Errors
    /// If that is refused.
    pub fn bind(&self) -> nix::Result<()> {
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
    pub fn disconnect(&mut self) -> nix::Result<()> {
        rustix::net::connect_unspec(&self.fd)
            .map_err(|error| Errno::from_raw(error.raw_os_error()))?;
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
    pub fn draw_options(&mut self, random: &mut Rng) {
        let words = random.u32(0..packet::OPTION_WORDS);
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

fn mapped(address: SocketAddrV4) -> SockaddrIn6 {
    let ip = address.ip().to_ipv6_mapped();
    SocketAddrV6::new(ip, address.port(), 0, 0).into()
}
