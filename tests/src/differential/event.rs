//! One beginning or end of a connection, the same for both streams, and what names a connection.

use std::fmt;
use std::net::IpAddr;

/// `IPPROTO_ICMP`.
pub const ICMP: u8 = 1;
/// `IPPROTO_TCP`.
pub const TCP: u8 = 6;
/// `IPPROTO_UDP`.
pub const UDP: u8 = 17;
/// `IPPROTO_GRE`.
pub const GRE: u8 = 47;
/// `IPPROTO_ICMPV6`.
pub const ICMPV6: u8 = 58;

/// What a protocol adds to the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer4 {
    /// Nothing: GRE without keys.
    Nothing,
    /// Source and destination.
    Ports(u16, u16),
    /// Of an echo.
    Icmp {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
        /// Its identifier.
        id: u16,
    },
}

/// One direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Ports, or what stands for them.
    pub layer4: Layer4,
}

impl Tuple {
    /// The answer to this, if nothing is translated.
    #[must_use]
    pub fn reversed(self) -> Self {
        let layer4 = match self.layer4 {
            Layer4::Nothing => Layer4::Nothing,
            Layer4::Ports(src, dst) => Layer4::Ports(dst, src),
            Layer4::Icmp { kind, code, id } => {
                // Echo request and reply, of IPv4 and IPv6.
                let kind = match kind {
                    8 => 0,
                    0 => 8,
                    128 => 129,
                    129 => 128,
                    other => other,
                };
                Layer4::Icmp { kind, code, id }
            }
        };
        Self {
            src: self.dst,
            dst: self.src,
            layer4,
        }
    }

    /// Which ends are rewritten, if `reply` answers this.
    #[must_use]
    pub fn translated(self, reply: Self) -> Nat {
        // What the answer would be to, if nothing were translated.
        let asked = reply.reversed();
        let [source, destination] = self.ports();
        let [asked_from, asked_at] = asked.ports();
        Nat {
            source: (self.src, source) != (asked.src, asked_from),
            destination: (self.dst, destination) != (asked.dst, asked_at),
        }
    }

    /// What belongs to the source, and what to the destination.
    fn ports(self) -> [u16; 2] {
        match self.layer4 {
            Layer4::Nothing => [0, 0],
            Layer4::Ports(src, dst) => [src, dst],
            // An echo has one identifier, which belongs to who asks.
            Layer4::Icmp { id, .. } => [id, 0],
        }
    }
}

impl fmt::Display for Tuple {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer4 {
            Layer4::Nothing => write!(out, "{}>{}", self.src, self.dst),
            Layer4::Ports(src, dst) => write!(out, "{}:{src}>{}:{dst}", self.src, self.dst),
            Layer4::Icmp { kind, code, id } => {
                write!(out, "{}>{} type {kind}/{code} id {id}", self.src, self.dst)
            }
        }
    }
}

/// Which ends are rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nat {
    /// The caller's.
    pub source: bool,
    /// The called one's.
    pub destination: bool,
}

/// What two connections of a namespace cannot share at one time, but for a clash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// IP protocol.
    pub proto: u8,
    /// The original direction.
    pub orig: Tuple,
    /// Zone of the original direction.
    pub zone: u16,
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proto = match self.proto {
            ICMP => "icmp".to_owned(),
            TCP => "tcp".to_owned(),
            UDP => "udp".to_owned(),
            GRE => "gre".to_owned(),
            ICMPV6 => "icmpv6".to_owned(),
            other => other.to_string(),
        };
        write!(out, "{proto} {}", self.orig)?;
        if self.zone != 0 {
            write!(out, " zone {}", self.zone)?;
        }
        Ok(())
    }
}

/// Which end of a connection's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It begins.
    New,
    /// The kernel removed it.
    Destroy,
}

/// What a stream says; unknown is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Beginning or end.
    pub what: What,
    /// Which connection.
    pub key: Key,
    /// Its reply direction.
    pub reply: Tuple,
    /// The stream's own name of the connection.
    pub id: u64,
    /// Which ends the stream says are rewritten.
    pub nat: Option<Nat>,
    /// Is it in the kernel's table?
    pub confirmed: Option<bool>,
    /// Was it answered?
    pub replied: Option<bool>,
    /// Is it protected from early removal?
    pub assured: Option<bool>,
    /// Its mark.
    pub mark: Option<u32>,
}
