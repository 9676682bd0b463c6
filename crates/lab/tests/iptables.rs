//! Connection tracking switched on through the legacy iptables interface, as
//! conntrack-tools report it. Needs root and `/usr/sbin/conntrack`; leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::SocketAddrV4;
use std::net::UdpSocket;
use std::time::Duration;

use harness::conntrack_tools::assert_has;
use harness::conntrack_tools::conntrack;
use harness::conntrack_tools::listed;
use harness::need_root;
use lab::Part;
use lab::iptables::LegacyRules;
use lab::iptables::MODULES;
use lab::iptables::PacketMark;
use lab::iptables::Refusal;
use netlink::netns::Namespace;
use netlink::netns::Visit;
use nix::errno::Errno;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt;

const IPV4_UDP: &[&str] = &["-f", "ipv4", "-p", "udp"];
const PATIENCE: Duration = Duration::from_secs(5);
const KEY: u32 = 0x1357_9bdf;
const CALLED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 12, 0, 1), 53);

/// A new namespace; the thread is in it as long as the visit lasts.
fn namespace() -> Visit {
    need_root();
    Namespace::create().unwrap().visit().unwrap()
}

/// Four ends for either side.
fn rules() -> LegacyRules {
    let end = |net, last: u8| {
        SocketAddrV4::new(
            Ipv4Addr::new(127, net, 7, last),
            6000 + u16::from(net) + u16::from(last),
        )
    };
    LegacyRules {
        zone: true,
        mark: Some(KEY),
        dnat: (1..5).map(|last| end(20, last)).collect(),
        snat: (1..5).map(|last| end(40, last)).collect(),
    }
}

fn udp(address: SocketAddrV4) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// There and back between these ends; what the receiver and then the sender took the other for.
fn exchange(client: SocketAddrV4, server: SocketAddrV4, so_mark: u32) -> [SocketAddr; 2] {
    let receiver = udp(server);
    let sender = udp(client);
    setsockopt(&sender, sockopt::Mark, &so_mark).unwrap();
    sender.send_to(b"ask", CALLED).unwrap();
    let (_, seen) = receiver.recv_from(&mut [0; 16]).unwrap();
    receiver.send_to(b"answer", seen).unwrap();
    let (_, answered) = sender.recv_from(&mut [0; 16]).unwrap();
    [seen, answered]
}

#[test]
fn every_kind_of_nat_with_and_without_a_zone() {
    let _inside = namespace();
    let rules = rules();
    assert_eq!(rules.install(&[]).unwrap(), []);
    let mut flows = Vec::new();
    for dnat in [None, Some(0), Some(3)] {
        for snat in [None, Some(1), Some(2)] {
            for zone in [0, 1, 0xa5c3, 0xffff] {
                flows.push(PacketMark { zone, dnat, snat });
            }
        }
    }
    for (choice, port) in flows.iter().zip(20_000..) {
        let client = SocketAddrV4::new(Ipv4Addr::new(127, 11, 0, 1), port);
        let server = choice
            .dnat
            .map_or(CALLED, |index| rules.dnat[usize::from(index)]);
        let seen = choice
            .snat
            .map_or(client, |index| rules.snat[usize::from(index)]);
        let ends = exchange(client, server, choice.so_mark());
        assert_eq!(ends, [seen.into(), CALLED.into()], "{choice:?}");

        let entries = listed(IPV4_UDP);
        let sport = format!("sport={port}");
        let mut of_flow = entries.iter().filter(|entry| entry.contains(&sport));
        let entry = of_flow.next().unwrap();
        assert_eq!(
            of_flow.next(),
            None,
            "one connection, also where it comes back"
        );
        let (original, reply) = entry.split_at(entry.rfind("src=").unwrap());
        assert_has(
            original,
            &[
                &format!("src={}", client.ip()),
                &format!("dst={}", CALLED.ip()),
                &sport,
                &format!("dport={}", CALLED.port()),
            ],
        );
        assert_has(
            reply,
            &[
                &format!("src={}", server.ip()),
                &format!("dst={}", seen.ip()),
                &format!("sport={}", server.port()),
                &format!("dport={}", seen.port()),
                &format!("mark={}", rules.connmark(choice)),
            ],
        );
        match choice.zone {
            0 => assert!(!entry.contains("zone"), "{entry}"),
            zone => assert_has(original, &[&format!("zone-orig={zone}")]),
        }
        // Makes room for the next one that appears to come from the same end.
        conntrack(None, &["-F"]);
    }
}

#[test]
fn without_rules_connections_are_tracked_and_left_alone() {
    let _inside = namespace();
    let client = SocketAddrV4::new(Ipv4Addr::new(127, 11, 0, 1), 4001);
    exchange(client, CALLED, 0xdead_beef);
    assert!(
        listed(IPV4_UDP).is_empty(),
        "nothing is tracked to begin with"
    );
    assert_eq!(LegacyRules::default().install(&[]).unwrap(), []);
    exchange(client, CALLED, 0xdead_beef);
    let entries = listed(IPV4_UDP);
    assert_eq!(entries.len(), 1, "{entries:#?}");
    assert_has(&entries[0], &[&"mark=0"]);
    assert!(!entries[0].contains("zone"), "{}", entries[0]);
}

#[test]
fn what_would_load_a_module_is_not_tried_and_the_rest_is_done() {
    let _inside = namespace();
    let rules = rules();
    let refused = rules.install(&["xt_CT", "iptable_nat"]).unwrap();
    let nat = Refusal::WouldLoad(vec!["iptable_nat"]);
    let expected = [
        (Part::Zone, Refusal::WouldLoad(vec!["xt_CT"])),
        (Part::Dnat, nat.clone()),
        (Part::Snat, nat),
    ];
    assert_eq!(refused, expected);
    let client = SocketAddrV4::new(Ipv4Addr::new(127, 11, 0, 1), 4001);
    let choice = PacketMark {
        zone: 9,
        dnat: Some(0),
        snat: Some(0),
    };
    exchange(client, CALLED, choice.so_mark());
    let entries = listed(IPV4_UDP);
    assert_eq!(entries.len(), 1, "{entries:#?}");
    assert_has(&entries[0], &[&format!("mark={}", rules.connmark(&choice))]);
    assert!(!entries[0].contains("zone"), "{}", entries[0]);
}

#[test]
fn if_everything_would_load_a_module_nothing_is_tracked() {
    let _inside = namespace();
    let refused = rules().install(MODULES).unwrap();
    let parts: Vec<_> = refused.iter().map(|(part, _)| *part).collect();
    assert_eq!(
        parts,
        [
            Part::Tracking,
            Part::Zone,
            Part::Mark,
            Part::Dnat,
            Part::Snat
        ]
    );
    exchange(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4001), CALLED, 1);
    assert!(listed(IPV4_UDP).is_empty());
}

#[test]
fn tables_with_rules_are_left_alone() {
    let _inside = namespace();
    assert_eq!(rules().install(&[]).unwrap(), []);
    let other = LegacyRules {
        mark: Some(0),
        ..LegacyRules::default()
    };
    let again = other.install(&[]).unwrap();
    // Tracking is switched on by a table of its own then, which is free.
    assert_eq!(again, [(Part::Mark, Refusal::Kernel(Errno::EAGAIN))]);
    let client = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4001);
    exchange(client, CALLED, 7);
    assert_has(&listed(IPV4_UDP)[0], &[&format!("mark={}", 7 ^ KEY)]);
}

#[test]
fn each_part_alone_makes_the_kernel_track() {
    let LegacyRules {
        zone,
        mark,
        dnat,
        snat,
    } = rules();
    let none = LegacyRules::default;
    let alone = [
        LegacyRules { zone, ..none() },
        LegacyRules { mark, ..none() },
        LegacyRules { dnat, ..none() },
        LegacyRules { snat, ..none() },
    ];
    for rules in alone {
        let _inside = namespace();
        assert_eq!(rules.install(&[]).unwrap(), []);
        exchange(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4001), CALLED, 0);
        let entries = listed(IPV4_UDP);
        assert_eq!(entries.len(), 1, "{rules:?}: {entries:#?}");
    }
}
