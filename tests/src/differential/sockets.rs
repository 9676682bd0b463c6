//! Calls as the kinds of flows need them: from a chosen port, with a chosen TTL, closed in a chosen way.

use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::libc::linger;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockProtocol;
use nix::sys::socket::SockType;
use nix::sys::socket::SockaddrStorage;
use nix::sys::socket::bind;
use nix::sys::socket::connect;
use nix::sys::socket::recv;
use nix::sys::socket::sendto;
use nix::sys::socket::setsockopt;
use nix::sys::socket::socket;
use nix::sys::socket::sockopt;
use nix::sys::time::TimeVal;
use nix::sys::time::TimeValLike as _;

/// Longest wait for an answer that must come.
pub const PATIENCE: Duration = Duration::from_secs(5);

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn set_ttl(socket: &OwnedFd, address: IpAddr, ttl: Option<i32>) -> io::Result<()> {
    match (ttl, address) {
        (None, _) => {}
        (Some(ttl), IpAddr::V4(_)) => setsockopt(socket, sockopt::Ipv4Ttl, &ttl)?,
        (Some(ttl), IpAddr::V6(_)) => setsockopt(socket, sockopt::Ipv6Ttl, &ttl)?,
    }
    Ok(())
}

/// A TCP connection from this end to that; gives up after this time.
pub fn call(
    from: SocketAddr,
    to: SocketAddr,
    ttl: Option<i32>,
    time: Duration,
) -> io::Result<TcpStream> {
    let socket = socket(
        family(from.ip()),
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    setsockopt(
        &socket,
        sockopt::SendTimeout,
        &TimeVal::milliseconds(time.as_millis() as i64),
    )?;
    set_ttl(&socket, to.ip(), ttl)?;
    once_free(|| Ok(bind(socket.as_raw_fd(), &SockaddrStorage::from(from))?))?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Binds to a port that this flow had before: the kernel may still be closing the last socket there.
fn once_free<T>(bind: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(2));
            }
            bound => return bound,
        }
    }
}

/// Says a word and hears its echo.
pub fn converse(stream: &mut TcpStream, word: &str) -> io::Result<()> {
    stream.write_all(word.as_bytes())?;
    let mut echo = vec![0; word.len()];
    stream.read_exact(&mut echo)?;
    match echo == word.as_bytes() {
        true => Ok(()),
        false => Err(io::Error::other("another word came back")),
    }
}

/// Closes it by a reset, so that its port is free at once.
pub fn reset(stream: TcpStream) -> io::Result<()> {
    let at_once = linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&stream, sockopt::Linger, &at_once)?;
    Ok(())
}

/// A UDP socket at this end.
pub fn datagrams(from: SocketAddr) -> io::Result<UdpSocket> {
    let socket = once_free(|| UdpSocket::bind(from))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// The same, with this TTL.
pub fn datagrams_with_ttl(from: SocketAddr, ttl: i32) -> io::Result<UdpSocket> {
    let socket = OwnedFd::from(datagrams(from)?);
    set_ttl(&socket, from.ip(), Some(ttl))?;
    Ok(socket.into())
}

/// Sends a word and hears its echo.
pub fn ask(socket: &UdpSocket, to: SocketAddr, word: &str) -> io::Result<()> {
    socket.send_to(word.as_bytes(), to)?;
    hear(socket, word)
}

/// Hears this word, whatever else comes before.
pub fn hear(socket: &UdpSocket, word: &str) -> io::Result<()> {
    let mut packet = [0; 8192];
    loop {
        match socket.recv_from(&mut packet) {
            Ok((length, _)) if packet[..length].starts_with(word.as_bytes()) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
}

/// An echo request from this address; waits for the reply if one must come.
pub fn ping(from: IpAddr, to: IpAddr, id: u16, is_answered: bool) -> io::Result<()> {
    let (protocol, kind, answer) = match from {
        IpAddr::V4(_) => (SockProtocol::Icmp, 8_u8, 0_u8),
        IpAddr::V6(_) => (SockProtocol::IcmpV6, 128, 129),
    };
    let socket = socket(
        family(from),
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        protocol,
    )?;
    let seconds = TimeVal::seconds(PATIENCE.as_secs() as i64);
    setsockopt(&socket, sockopt::ReceiveTimeout, &seconds)?;
    bind(
        socket.as_raw_fd(),
        &SockaddrStorage::from(SocketAddr::new(from, 0)),
    )?;
    let id = id.to_be_bytes();
    let mut packet = vec![kind, 0, 0, 0, id[0], id[1], 0, 1];
    if from.is_ipv4() {
        // The kernel fills in that of ICMPv6.
        let sum = checksum(&packet).to_be_bytes();
        packet[2..4].copy_from_slice(&sum);
    }
    let to = SockaddrStorage::from(SocketAddr::new(to, 0));
    sendto(socket.as_raw_fd(), &packet, &to, MsgFlags::empty())?;
    if !is_answered {
        return Ok(());
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut packet = [0; 512];
        let length = recv(socket.as_raw_fd(), &mut packet, MsgFlags::empty())?;
        // A raw socket of IPv4 gives the header of IP, too.
        let header = if from.is_ipv4() { 20 } else { 0 };
        let message = packet.get(header..length).unwrap_or_default();
        if message.first() == Some(&answer) && message.get(4..6) == Some(&id[..]) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// A GRE packet without a key.
pub fn encapsulate(from: [u8; 4], to: [u8; 4]) -> io::Result<()> {
    const LENGTH: u8 = 44;
    let socket = socket(
        AddressFamily::Inet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::Raw,
    )?;
    // The kernel fills in the identification and the checksum of the header.
    let mut packet = vec![0x45, 0, 0, LENGTH, 0, 0, 0, 0, 64, super::event::GRE, 0, 0];
    packet.extend(from.into_iter().chain(to));
    packet.extend([0, 0, 8, 0]);
    packet.resize(LENGTH.into(), 0);
    let to = SockaddrStorage::from(SocketAddr::new(to.into(), 0));
    sendto(socket.as_raw_fd(), &packet, &to, MsgFlags::empty())?;
    Ok(())
}

fn checksum(packet: &[u8]) -> u16 {
    let words = packet.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([pair[0], low]))
    });
    let sum: u32 = words.sum();
    !(((sum >> 16) + (sum & 0xffff)) as u16)
}
