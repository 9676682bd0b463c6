//! A socket of ours about which everything is known, because we chose it: bound to a random address of
//! 127.0.0.0/8 and a random port.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::net::SocketAddrV4;
use std::net::SocketAddrV6;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;

use fastrand::Rng;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::SetBool;
use nix::sys::socket::sockopt::SetOsString;
use rustix::io;
use rustix::net;
use rustix::net::SendFlags;
use rustix::net::sockopt;

use crate::expected::packet;
use crate::expected::socket::Facts;
use crate::expected::socket::Family;

/// The IP options of every packet to come.
#[derive(Clone)]
struct IpOptions;
nix::setsockopt_impl!(
    IpOptions,
    libc::IPPROTO_IP,
    libc::IP_OPTIONS,
    OsString,
    SetOsString<'_>
);

/// UDP without checksums.
#[derive(Clone)]
struct NoCheck;
nix::setsockopt_impl!(NoCheck, libc::SOL_SOCKET, libc::SO_NO_CHECK, bool, SetBool);

/// An open socket.
#[derive(Debug)]
pub struct Socket {
    /// The descriptor.
    pub fd: OwnedFd,
    /// What is known about it.
    pub facts: Facts,
    /// The number of IP option words in its packets.
    pub option_words: u32,
}

impl Socket {
    /// Connects it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn connect(&mut self, peer: SocketAddrV4) -> io::Result<()> {
        net::connect(&self.fd, &sockaddr(self.facts.family, peer))?;
        self.facts.peer = Some(peer);
        Ok(())
    }

    /// Dissolves its connection; it stays bound.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn disconnect(&mut self) -> io::Result<()> {
        net::connect_unspec(&self.fd)?;
        self.facts.peer = None;
        // What its IPv6 fields keep of the peer is not documented.
        self.facts.mirrors = false;
        Ok(())
    }

    /// Gives all packets to come a random number of option words. A kernel that refuses sends packets
    /// without options.
    pub fn draw_options(&mut self, random: &mut Rng) {
        let words = random.u32(0..packet::OPTION_WORDS);
        let options = OsString::from_vec(packet::options(words));
        if setsockopt(&self.fd, IpOptions, &options).is_ok() {
            self.option_words = words;
        }
    }

    /// Omits checksums, so that the kernel does not note where to compute them later.
    pub fn omit_checksums(&self) {
        // If the kernel refuses, one sample less differs from the others.
        let _ = setsockopt(&self.fd, NoCheck, &true);
    }

    /// Sends bytes to its peer, or to `to`.
    ///
    /// # Errors
    /// If that fails.
    pub fn send(&self, bytes: &[u8], to: Option<SocketAddrV4>) -> io::Result<()> {
        match to.map(|to| sockaddr(self.facts.family, to)) {
            None => net::send(&self.fd, bytes, SendFlags::NOSIGNAL),
            Some(to) => net::sendto(&self.fd, bytes, SendFlags::NOSIGNAL, &to),
        }
        .map(|_| ())
    }
}

/// Binds a socket of this family.
///
/// # Errors
/// If the kernel refuses.
pub fn bind(socket: &OwnedFd, family: Family, at: SocketAddrV4) -> io::Result<()> {
    if family == Family::Inet6 {
        sockopt::set_ipv6_v6only(socket, false)?;
    }
    net::bind(socket, &sockaddr(family, at))
}

/// An address as sockets of this family take it.
fn sockaddr(family: Family, at: SocketAddrV4) -> SocketAddr {
    match family {
        Family::Inet => at.into(),
        Family::Inet6 => SocketAddrV6::new(at.ip().to_ipv6_mapped(), at.port(), 0, 0).into(),
    }
}
