//! Packets that never leave the machine: they fire hooks and make connections.

use std::io;
use std::net::Ipv4Addr;
use std::net::UdpSocket;
use std::time::Duration;

use crate::probe::During as _;
use crate::probe::Obstacle;

/// Far more than a datagram needs over loopback, where it arrives before `send` returns.
const PATIENCE: Duration = Duration::from_millis(200);

/// Sends one datagram from a new socket to itself: a new connection each time.
pub fn send_datagram() -> Result<(), Obstacle> {
    arrives_at(Ipv4Addr::LOCALHOST).map(drop)
}

/// Sends a datagram from a new socket to this address and the socket's own port. Does it arrive?
pub fn arrives_at(address: Ipv4Addr) -> Result<bool, Obstacle> {
    exchange(address).during("sending UDP over loopback")
}

fn exchange(address: Ipv4Addr) -> io::Result<bool> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(b"kcheck", (address, socket.local_addr()?.port()))?;
    match socket.recv(&mut [0; 8]) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}
