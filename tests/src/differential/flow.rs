//! One flow as the seed has chosen it: its number, which gives it ports of its own, and its other choices. Pure.

use std::net::IpAddr;
use std::net::SocketAddr;

use super::event::Key;
use super::event::Layer4;

/// Ports of the first flow begin here.
const FIRST_PORT: u16 = 20_000;
/// Ports that belong to a flow.
pub const PORTS: u16 = 8;
/// As many flows have ports of their own, below those of other sockets.
pub const MOST: usize = 5_000;

/// A place by both families.
#[derive(Debug, Clone, Copy)]
pub struct Place(pub &'static str, pub &'static str);

/// A flow to make.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// Its number.
    pub number: usize,
    /// By IPv6, if the kind has it.
    pub is_v6: bool,
    /// By TCP, if the kind has it.
    pub is_tcp: bool,
    /// Whatever else the kind chooses.
    pub choice: u64,
}

impl Flow {
    /// One of its ports.
    #[must_use]
    pub fn port(&self, number: u16) -> u16 {
        FIRST_PORT + self.number as u16 * PORTS + number
    }

    /// An address of the flow's family.
    ///
    /// # Panics
    /// If the place is none.
    #[must_use]
    pub fn address(&self, place: Place) -> IpAddr {
        let text = if self.is_v6 { place.1 } else { place.0 };
        text.parse().expect("an address")
    }

    /// An end of the flow's family.
    #[must_use]
    pub fn end(&self, place: Place, port: u16) -> SocketAddr {
        SocketAddr::new(self.address(place), port)
    }

    /// A choice among this many; another one for each number.
    #[must_use]
    pub fn choose(&self, number: u32, among: u64) -> u64 {
        (self.choice >> (4 * number)) % among
    }
}

/// The flow that a connection belongs to, by the port that only this flow has.
#[must_use]
pub fn owner(key: &Key) -> Option<usize> {
    let ours = FIRST_PORT..FIRST_PORT + MOST as u16 * PORTS;
    let port = match key.orig.layer4 {
        Layer4::Ports(src, dst) => [src, dst].into_iter().find(|port| ours.contains(port))?,
        Layer4::Icmp { id, .. } if ours.contains(&id) => id,
        Layer4::Nothing | Layer4::Icmp { .. } => return None,
    };
    Some(usize::from((port - FIRST_PORT) / PORTS))
}
