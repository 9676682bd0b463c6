//! Connection tracking switched on in a namespace of our own, as
//! conntrack-tools report it. Needs root and `/usr/sbin/conntrack`; leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

use std::fmt::Display;
use std::io::Read as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::net::SocketAddrV4;
use std::net::TcpListener;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use harness::conntrack_tools::assert_has;
use harness::conntrack_tools::listed;
use harness::need_root;
use lab::Part;
use lab::nft::Address;
use lab::nft::NatRequest;
use lab::nft::Rewrite;
use lab::nft::Ruleset;
use netlink::Protocol;
use netlink::Socket;
use netlink::netns::Namespace;
use netlink::netns::Visit;
use netlink::rtnetlink::RouteReply;
use netlink::rtnetlink::RouteRequest;
use nix::errno::Errno;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::SockaddrIn;
use nix::sys::socket::connect;
use nix::sys::socket::setsockopt;
use nix::sys::socket::socket;
use nix::sys::socket::sockopt;

const MARK: u32 = 0xdead_beef;
const ZONE: u16 = 0xa5c3;
/// High bits that must not reach the zone.
const PRIORITY: u32 = 0x7777_0000 | ZONE as u32;
const PATIENCE: Duration = Duration::from_secs(5);

/// A new namespace with these rules in force; the thread is in it as long as the visit lasts.
fn lab<A: Address>(ruleset: &Ruleset<A>) -> Visit {
    need_root();
    let inside = Namespace::create().unwrap().visit().unwrap();
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    assert_eq!(ruleset.install(&mut socket).unwrap(), []);
    inside
}

fn udp(address: IpAddr, port: u16) -> UdpSocket {
    let socket = UdpSocket::bind(SocketAddr::new(address, port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn label(socket: &impl AsFd) {
    setsockopt(socket, sockopt::Mark, &MARK).unwrap();
    setsockopt(socket, sockopt::Priority, &(PRIORITY as i32)).unwrap();
}

/// Adds an address and waits for its local route, which the kernel adds later, in a work queue.
fn add_to_loopback(address: Ipv6Addr) {
    let text = address.to_string();
    let add = ["-6", "addr", "add", &text, "dev", "lo", "nodad"];
    assert!(Command::new("ip").args(add).status().unwrap().success());
    let mut socket = Socket::open(Protocol::Route).unwrap();
    let mut route = RouteRequest::to(address.into()).message();
    let mut kind = || {
        let reply = socket.query(&mut route, RouteReply::parse).unwrap();
        reply.unwrap().kind
    };
    let deadline = Instant::now() + PATIENCE;
    while kind() != libc::RTN_LOCAL {
        assert!(Instant::now() < deadline, "no local route to {address}");
        thread::yield_now();
    }
}

/// Sends from `client` to `called` and back over NAT in both directions, and checks the one entry.
fn everything_at_once<A: Address + Into<IpAddr> + Display>(
    family: &str,
    [client, called, server, seen]: [A; 4],
) {
    let _inside = lab(&Ruleset {
        zone: true,
        mark: true,
        dnat: vec![Rewrite {
            from: called,
            from_port: Some(53),
            to: server,
            to_port: Some(5353),
        }],
        snat: vec![Rewrite {
            from: client,
            from_port: Some(4001),
            to: seen,
            to_port: Some(6001),
        }],
        nat_requests: false,
    });
    for address in [client, called, server, seen] {
        if let IpAddr::V6(address) = address.into() {
            add_to_loopback(address);
        }
    }
    let receiver = udp(server.into(), 5353);
    let sender = udp(client.into(), 4001);
    label(&sender);
    sender
        .send_to(b"ask", SocketAddr::new(called.into(), 53))
        .unwrap();
    let (_, from) = receiver.recv_from(&mut [0; 16]).unwrap();
    assert_eq!(from, SocketAddr::new(seen.into(), 6001));
    receiver.send_to(b"answer", from).unwrap();
    let (_, from) = sender.recv_from(&mut [0; 16]).unwrap();
    assert_eq!(from, SocketAddr::new(called.into(), 53));

    let entries = listed(&["-f", family, "-p", "udp"]);
    assert_eq!(
        entries.len(),
        1,
        "one connection, also where it comes back: {entries:#?}"
    );
    assert_has(
        &entries[0],
        &[
            &format!("src={client}"),
            &format!("dst={called}"),
            &"sport=4001",
            &"dport=53",
            &format!("zone-orig={ZONE}"),
            &format!("src={server}"),
            &format!("dst={seen}"),
            &"sport=5353",
            &"dport=6001",
            &format!("mark={MARK}"),
        ],
    );
}

#[test]
fn an_ipv4_datagram_gets_mark_zone_and_nat() {
    let address = |last| Ipv4Addr::new(127, 11, 22, last);
    everything_at_once("ipv4", [address(1), address(2), address(3), address(4)]);
}

#[test]
fn an_ipv6_datagram_gets_mark_zone_and_nat() {
    let address = |last| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last);
    everything_at_once("ipv6", [address(1), address(2), address(3), address(4)]);
}

#[test]
fn a_datagram_is_rewritten_as_it_requests() {
    let address = |last| Ipv4Addr::new(127, 11, 33, last);
    let [client, called, server, seen] = [address(1), address(2), address(3), address(4)];
    let _inside = lab(&Ruleset::<Ipv4Addr> {
        nat_requests: true,
        ..Ruleset::default()
    });
    let receiver = udp(server.into(), 5353);
    for (port, snat) in [(4001, Some((seen, 6001))), (4002, None)] {
        let sender = udp(client.into(), port);
        let request = NatRequest {
            dnat: Some((server, 5353)),
            snat,
        };
        sender.send_to(&request.payload(), (called, 53)).unwrap();
        let (_, from) = receiver.recv_from(&mut [0; 16]).unwrap();
        let expected = snat.unwrap_or((client, port));
        assert_eq!(from, SocketAddr::from(expected));
        receiver.send_to(b"answer", from).unwrap();
        let (_, from) = sender.recv_from(&mut [0; 16]).unwrap();
        assert_eq!(from, SocketAddr::from((called, 53)));
    }
    // A request for neither half.
    let sender = udp(client.into(), 4003);
    let request = NatRequest::<Ipv4Addr> {
        dnat: None,
        snat: None,
    };
    sender.send_to(&request.payload(), (server, 5353)).unwrap();
    let (_, from) = receiver.recv_from(&mut [0; 16]).unwrap();
    assert_eq!(from, SocketAddr::from((client, 4003)));
}

#[test]
fn a_tcp_connection_passes_zone_and_nat() {
    let called = Ipv4Addr::new(127, 0, 0, 9);
    let server = Ipv4Addr::new(127, 0, 0, 10);
    let rewrite = Rewrite {
        from: called,
        from_port: None,
        to: server,
        to_port: None,
    };
    let _inside = lab(&Ruleset {
        zone: true,
        mark: true,
        dnat: vec![rewrite],
        snat: vec![],
        nat_requests: false,
    });
    let listener = TcpListener::bind((server, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    label(&client);
    let to = SockaddrIn::from(SocketAddrV4::new(called, port));
    connect(client.as_raw_fd(), &to).unwrap();
    let mut client = TcpStream::from(client);
    let (mut accepted, _) = listener.accept().unwrap();
    client.write_all(b"ask").unwrap();
    accepted.read_exact(&mut [0; 3]).unwrap();
    accepted.write_all(b"answer").unwrap();
    client.read_exact(&mut [0; 6]).unwrap();
    let entries = listed(&["-f", "ipv4", "-p", "tcp"]);
    assert_eq!(entries.len(), 1, "{entries:#?}");
    assert_has(
        &entries[0],
        &[
            &"ESTABLISHED",
            &"[ASSURED]",
            &format!("dst={called}"),
            &format!("src={server}"),
            &format!("zone-orig={ZONE}"),
            &format!("mark={MARK}"),
        ],
    );
}

#[test]
fn without_rules_connections_are_tracked_and_left_alone() {
    let _inside = lab(&Ruleset::<Ipv4Addr>::default());
    let receiver = udp(Ipv4Addr::LOCALHOST.into(), 0);
    let sender = udp(Ipv4Addr::LOCALHOST.into(), 0);
    label(&sender);
    sender
        .send_to(b"x", receiver.local_addr().unwrap())
        .unwrap();
    let entries = listed(&["-f", "ipv4", "-p", "udp"]);
    assert_eq!(entries.len(), 1, "{entries:#?}");
    assert_has(&entries[0], &[&"[UNREPLIED]", &"mark=0"]);
    assert!(!entries[0].contains("zone"), "{}", entries[0]);
}

#[test]
fn without_the_rules_nothing_is_tracked() {
    need_root();
    let _inside = Namespace::create().unwrap().visit().unwrap();
    let receiver = udp(Ipv4Addr::LOCALHOST.into(), 0);
    let sender = udp(Ipv4Addr::LOCALHOST.into(), 0);
    sender
        .send_to(b"x", receiver.local_addr().unwrap())
        .unwrap();
    assert!(listed(&["-f", "ipv4", "-p", "udp"]).is_empty());
}

#[test]
fn both_families_share_a_namespace_and_neither_is_set_up_twice() {
    let _inside = lab(&Ruleset::<Ipv4Addr>::default());
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    assert_eq!(
        Ruleset::<Ipv6Addr>::default().install(&mut socket).unwrap(),
        []
    );
    let again = Ruleset::<Ipv4Addr>::default().install(&mut socket).unwrap();
    let again: Vec<_> = again
        .iter()
        .map(|(part, refusal)| (*part, refusal.errno))
        .collect();
    assert_eq!(again, [(Part::Tracking, Errno::EEXIST)]);
}
