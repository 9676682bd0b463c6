//! One UDP connection over loopback with two sockets of its own. Its addresses, ports and zone are
//! random; it asks for its NAT itself, in its first packet.

use std::net::Ipv4Addr;
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::SockaddrIn;
use nix::sys::socket::bind;
use nix::sys::socket::sendto;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt;
use shared::netns::Wish;

use super::namespaces::Ground;
use crate::expected::Ends;
use crate::expected::Facts;
use crate::expected::Nat;
use crate::expected::Packet;
use crate::expected::Turn;
use crate::random::Random;

/// A connection two seconds old may get a status bit more (`IPS_ASSURED`).
const SHELF_LIFE: Duration = Duration::from_secs(1);

/// A connection that we make.
#[derive(Debug)]
pub struct Flow {
    facts: Facts,
    wish: Wish<Ipv4Addr>,
    client: OwnedFd,
    server: OwnedFd,
    opened: Instant,
}

impl Flow {
    /// Binds two sockets on the ground; nothing is sent yet. Without NAT there, the flow is plain.
    ///
    /// # Errors
    /// If a socket cannot be had, bound or given its priority.
    pub fn open(ground: &mut Ground, nat: Nat, random: &mut Random) -> anyhow::Result<Self> {
        let can = ground.can();
        let granted = |asked: bool| asked && can.nat == Some(true);
        let nat = Nat {
            dnat: granted(nat.dnat),
            snat: granted(nat.snat),
        };
        let [caller, callee, dialled, shown] = [(); 4].map(|()| somewhere(random));
        let dialled = if nat.dnat { dialled } else { callee };
        let shown = if nat.snat { shown } else { caller };
        let facts = Facts {
            id: random.number(),
            netns: ground.inum(),
            can,
            nat,
            zone: random.between(1, 1 << 16) as u16,
            orig: ends(caller, dialled),
            reply: ends(callee, shown),
        };
        // nf_tables reads the zone from the first two bytes of the priority, whichever half of the
        // number these are.
        let priority = u32::from(facts.zone) << 16 | u32::from(facts.zone);
        let open = |address: SocketAddrV4, fd: OwnedFd| -> anyhow::Result<OwnedFd> {
            bind(fd.as_raw_fd(), &SockaddrIn::from(address)).context("bind to loopback")?;
            setsockopt(&fd, sockopt::Priority, &(priority as i32)).context("set SO_PRIORITY")?;
            Ok(fd)
        };
        Ok(Self {
            facts,
            wish: Wish {
                dnat: nat.dnat.then_some((*callee.ip(), callee.port())),
                snat: nat.snat.then_some((*shown.ip(), shown.port())),
            },
            client: open(caller, ground.socket()?)?,
            server: open(callee, ground.socket()?)?,
            opened: Instant::now(),
        })
    }

    /// What this connection is.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Whether it is too old for its status to be foreseen.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.opened.elapsed() > SHELF_LIFE
    }

    /// Gives the next packet of one side its mark.
    ///
    /// # Errors
    /// If the mark is refused.
    pub fn prepare(&self, packet: Packet) -> anyhow::Result<()> {
        setsockopt(self.sender(packet.turn), sockopt::Mark, &packet.mark).context("set SO_MARK")
    }

    /// Sends the packet that was prepared.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn send(&self, turn: Turn) -> nix::Result<()> {
        let to = match turn {
            Turn::First | Turn::Later => self.facts.orig.dst,
            Turn::Reply => self.facts.reply.dst,
        };
        sendto(
            self.sender(turn).as_raw_fd(),
            &self.wish.payload(),
            &SockaddrIn::from(to),
            MsgFlags::empty(),
        )
        .map(|_| ())
    }

    fn sender(&self, turn: Turn) -> &OwnedFd {
        match turn {
            Turn::First | Turn::Later => &self.client,
            Turn::Reply => &self.server,
        }
    }
}

fn ends(src: SocketAddrV4, dst: SocketAddrV4) -> Ends {
    Ends { src, dst }
}

/// An address of 127.0.0.0/8 other than its first and last, and a port.
fn somewhere(random: &mut Random) -> SocketAddrV4 {
    let host = random.between(1, (1 << 24) - 1);
    let address = Ipv4Addr::from(127 << 24 | host);
    SocketAddrV4::new(address, random.between(1024, 1 << 16) as u16)
}
