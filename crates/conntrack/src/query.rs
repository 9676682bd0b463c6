//! The argument of `--get`: `PROTO,SRC:PORT,DST:PORT[,NETNS]`. Pure.

use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use shared::record::proto;
use shared::record::wire::Record;
use shared::record::wire::address_bytes;
use shared::record::wire::family;

/// A connection as its client sees it, perhaps in one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// `IPPROTO_*`.
    pub proto: u8,
    /// Source; for ICMP the port is the id.
    pub src: (IpAddr, u16),
    /// Destination; for ICMP the port is type × 256 + code.
    pub dst: (IpAddr, u16),
    /// In which namespace, if one is given.
    pub netns: Option<Netns>,
}

/// How a namespace is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Netns {
    /// Its inode number, as in `net:[4026531840]`.
    Inode(u32),
    /// A file that refers to it.
    Path(PathBuf),
}

impl FromStr for Query {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A path may hold commas, so it comes last and takes the rest.
        let mut parts = text.splitn(4, ',');
        let mut next = || {
            parts
                .next()
                .ok_or("--get wants PROTO,SRC:PORT,DST:PORT[,NETNS]")
        };
        let (proto, src, dst) = (next()?, next()?, next()?);
        let netns = parts.next().map(netns).transpose()?;
        let query = Self {
            proto: proto::number(proto)
                .ok_or_else(|| format!("--get: no such protocol: {proto}"))?,
            src: endpoint(src)?,
            dst: endpoint(dst)?,
            netns,
        };
        if query.src.0.is_ipv4() != query.dst.0.is_ipv4() {
            return Err("--get: source and destination are of different families".into());
        }
        Ok(query)
    }
}

impl Query {
    /// A record that has the connection's original tuple and nothing else.
    pub fn record(&self) -> Record {
        Record {
            family: if self.src.0.is_ipv4() {
                family::IPV4
            } else {
                family::IPV6
            },
            proto: self.proto,
            orig_src: address_bytes(self.src.0),
            orig_dst: address_bytes(self.dst.0),
            orig_sport: self.src.1,
            orig_dport: self.dst.1,
            ..Record::BLANK
        }
    }
}

fn endpoint(text: &str) -> Result<(IpAddr, u16), String> {
    let bad = || format!("--get: not an address with a port: {text}");
    let (address, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let address = match address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(v6) => v6.parse::<Ipv6Addr>().map(IpAddr::V6),
        // Without brackets the last group of an address would pass for a port.
        None if address.contains(':') => return Err(bad()),
        None => address.parse(),
    };
    let port = port.parse().map_err(|_| bad())?;
    Ok((address.map_err(|_| bad())?, port))
}

fn netns(text: &str) -> Result<Netns, String> {
    if text.starts_with('/') {
        return Ok(Netns::Path(text.into()));
    }
    text.parse()
        .map(Netns::Inode)
        .map_err(|_| format!("--get: not an inode number nor a path of a namespace: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_that_make_sense() {
        let query: Query = "udp,10.0.0.2:5353,203.0.113.9:53".parse().unwrap();
        assert_eq!(query.proto, proto::UDP);
        assert_eq!(query.src, ([10, 0, 0, 2].into(), 5353));
        assert_eq!(query.netns, None);
        let query: Query = "6,[fd00::1]:1,[::ffff:1.2.3.4]:2,4026531840"
            .parse()
            .unwrap();
        assert_eq!(query.dst, ("::ffff:1.2.3.4".parse().unwrap(), 2));
        assert_eq!(query.netns, Some(Netns::Inode(4_026_531_840)));
        let query: Query = "tcp,1.1.1.1:1,2.2.2.2:2,/run/netns/a,b".parse().unwrap();
        assert_eq!(query.netns, Some(Netns::Path("/run/netns/a,b".into())));
    }

    #[test]
    fn queries_that_do_not() {
        for (text, said) in [
            ("", "--get wants"),
            ("udp,1.2.3.4:5", "--get wants"),
            ("nope,1.2.3.4:5,1.2.3.4:6", "no such protocol: nope"),
            (
                "udp,1.2.3.4,1.2.3.4:6",
                "not an address with a port: 1.2.3.4",
            ),
            ("udp,fd00::1:5,[fd00::2]:6", "not an address"),
            ("udp,1.2.3.4:65536,1.2.3.4:6", "not an address"),
            ("udp,1.2.3.4:5,[fd00::2]:6", "different families"),
            ("udp,1.2.3.4:5,1.2.3.4:6,x", "not an inode number"),
        ] {
            let error = text.parse::<Query>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
