//! Echoes of the world's namespaces, and who was served: each remembers by which address it was called, and by whom.
//!
//! A word that begins with `mute` is not answered.

use std::collections::HashMap;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use super::world::Need;
use super::world::Space;
use super::world::World;

/// The port of everything that has no port of its own.
pub const PORT: u16 = 7000;
/// Every port of the first backend, by which the router's rules know what to do.
const PORTS: [u16; 7] = [PORT, 7101, 7102, 7301, 7302, 7401, 7402];
/// The port behind SYNPROXY.
pub const SYNPROXY: u16 = 7501;
const TFTP: u16 = 69;

/// Which ends of a connection a server saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// The server's own.
    pub server: SocketAddr,
    /// The caller's.
    pub caller: SocketAddr,
}

/// What all servers have served, by word.
#[derive(Default)]
pub struct Receipts {
    served: Mutex<HashMap<String, Served>>,
    more: Condvar,
}

impl Receipts {
    fn add(&self, word: &[u8], served: Served) {
        let word = String::from_utf8_lossy(word).into_owned();
        let mut all = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(word, served);
        self.more.notify_all();
    }

    /// Who served this word, at the latest after this time.
    pub fn wait(&self, word: &str, time: Duration) -> Option<Served> {
        let all = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let lacks = |all: &mut HashMap<String, Served>| !all.contains_key(word);
        let waited = self.more.wait_timeout_while(all, time, lacks);
        let (all, _) = waited.unwrap_or_else(PoisonError::into_inner);
        all.get(word).copied()
    }
}

/// Serves at every end that a flow calls, until the process ends.
pub fn serve(world: &World, receipts: &Arc<Receipts>) -> anyhow::Result<()> {
    let at = |space, address: &str, port| -> anyhow::Result<()> {
        let address: IpAddr = address.parse()?;
        let end = SocketAddr::new(address, port);
        let (tcp, udp) = world.at(space, || {
            Ok((TcpListener::bind(end)?, UdpSocket::bind(end)?))
        })?;
        let (first, second) = (Arc::clone(receipts), Arc::clone(receipts));
        spawn(move || accept(&tcp, &first))?;
        spawn(move || echo(&udp, &second))?;
        Ok(())
    };
    for port in PORTS.into_iter().chain([SYNPROXY]) {
        at(Space::Server, "10.81.3.1", port)?;
        at(Space::Server, "fd81:3::1", port)?;
    }
    for last in 2..=5 {
        at(Space::Server, &format!("10.81.3.{last}"), PORT)?;
        at(Space::Server, &format!("fd81:3::{last}"), PORT)?;
    }
    for here in ["127.0.0.1", "::1", "10.81.1.1", "fd81:1::1"] {
        at(Space::Router, here, PORT)?;
    }
    for here in ["10.81.1.3", "fd81:1::3"] {
        at(Space::Client, here, PORT)?;
    }
    if world.has(Need::Bridge) {
        at(Space::Pod1, "10.81.5.2", PORT)?;
        at(Space::Pod2, "10.81.5.3", PORT)?;
    }
    let end: SocketAddr = SocketAddr::new([10, 81, 3, 1].into(), TFTP);
    let tftp = world.at(Space::Server, || UdpSocket::bind(end))?;
    let namespace = netlink::netns::Namespace::open(
        &std::path::Path::new("/run/netns").join(world.name(Space::Server)),
    )?;
    let receipts = Arc::clone(receipts);
    spawn(move || {
        let _visit = namespace.visit();
        transfer(&tftp, &receipts)
    })?;
    Ok(())
}

/// Small stacks: there are many servers.
fn spawn(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    let builder = thread::Builder::new().stack_size(128 << 10);
    builder.spawn(work).map(drop)
}

fn echo(socket: &UdpSocket, receipts: &Receipts) -> io::Result<()> {
    let mut packet = [0; 8192];
    let server = socket.local_addr()?;
    loop {
        let Ok((length, caller)) = socket.recv_from(&mut packet) else {
            // The error of an earlier answer.
            continue;
        };
        let (packet, caller) = (&packet[..length], plain(caller));
        // Only the word counts; the rest makes the datagram long.
        let word = packet.split(|byte| *byte == b' ').next().unwrap_or(packet);
        receipts.add(word, Served { server, caller });
        if !word.starts_with(b"mute") {
            // If one caller is gone, the others are still served.
            let _ = socket.send_to(packet, caller);
        }
    }
}

/// Answers a request for a file from a new port, as TFTP does.
fn transfer(socket: &UdpSocket, receipts: &Receipts) -> io::Result<()> {
    let mut packet = [0; 512];
    loop {
        let (length, caller) = socket.recv_from(&mut packet)?;
        let own = UdpSocket::bind(SocketAddr::new(socket.local_addr()?.ip(), 0))?;
        let name = packet.get(2..length).unwrap_or_default();
        let word = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let server = own.local_addr()?;
        receipts.add(word, Served { server, caller });
        let _ = own.send_to(&[0, 3, 0, 1, b'x'], caller);
    }
}

fn accept(listener: &TcpListener, receipts: &Arc<Receipts>) -> io::Result<()> {
    for stream in listener.incoming() {
        let (Ok(stream), receipts) = (stream, Arc::clone(receipts)) else {
            continue;
        };
        spawn(move || converse(stream, &receipts))?;
    }
    Ok(())
}

fn converse(mut stream: TcpStream, receipts: &Receipts) -> io::Result<()> {
    let (server, caller) = (stream.local_addr()?, plain(stream.peer_addr()?));
    // Longer than any flow; without it, one that is dropped in the middle would hold its thread for ever.
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut word = [0; 64];
    loop {
        let length = stream.read(&mut word)?;
        if length == 0 {
            return Ok(());
        }
        receipts.add(&word[..length], Served { server, caller });
        stream.write_all(&word[..length])?;
    }
}

/// Without the scope, which only a link-local address has.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}
