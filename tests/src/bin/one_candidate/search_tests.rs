//! The peers' algorithm on made-up memory: what it finds, in how many events, and how it is fooled.

use super::*;
use crate::plan::DATADOG;
use crate::plan::TCPTRACER;

/// A struct, the namespace that one of its pointers leads to, and what is known of both.
struct Memory {
    object: [u8; 512],
    net: [u8; 128],
    net_at: u64,
    expected: Expected,
    /// Events that nothing sees first.
    unseen: u32,
}

impl Memory {
    /// Address, peer's address, ports, family and a pointer as `struct sock` has them.
    fn of_a_socket() -> Self {
        let expected = Expected {
            saddr: 0x0100_007f,
            daddr: 0x0200_007f,
            sport: 0x3412,
            dport: 0x7856,
            netns: 0xf000_0123,
            ..Expected::default()
        };
        let mut memory = Self {
            object: [0; 512],
            net: [0; 128],
            net_at: 48,
            expected,
            unseen: 0,
        };
        memory.write(0, &expected.daddr.to_ne_bytes());
        memory.write(4, &expected.saddr.to_ne_bytes());
        memory.write(12, &expected.dport.to_ne_bytes());
        memory.write(14, &u16::from_be(expected.sport).to_ne_bytes());
        memory.write(16, &2_u16.to_ne_bytes());
        memory.write(300, &expected.sport.to_ne_bytes());
        memory.net[96..100].copy_from_slice(&expected.netns.to_ne_bytes());
        memory
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        self.object[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

fn read(from: &[u8], at: u64, bytes: u64) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let bytes = from.get(at..at + usize::try_from(bytes).ok()?)?;
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    Some(u64::from_le_bytes(word))
}

impl World for Memory {
    fn event(&mut self, candidate: &Candidate) -> anyhow::Result<Option<(Answer, Expected)>> {
        if self.unseen > 0 {
            self.unseen -= 1;
            return Ok(None);
        }
        let offset = candidate.offset.next_multiple_of(candidate.align);
        let inner = candidate.inner.unwrap_or(0);
        let inner = inner.next_multiple_of(candidate.inner_align);
        let value = match candidate.inner {
            None => read(&self.object, offset, candidate.bytes),
            Some(_) if offset == self.net_at => read(&self.net, inner, candidate.bytes),
            Some(_) => None,
        };
        let answer = Answer {
            offset,
            inner,
            value: value.unwrap_or(0),
            failed: value.is_none(),
        };
        Ok(Some((answer, self.expected)))
    }
}

/// Every field of a socket but its times; the events too.
fn search(memory: &mut Memory, peer: &Peer) -> (Vec<String>, u64) {
    let steps: Vec<Step> = peer.socket.iter().take(6).copied().collect();
    let steps = &steps[..steps.len() - usize::from(peer.skips)];
    let mut search = Search::new(memory, peer, Vec::new());
    search.run(steps).unwrap();
    let found = search.found.iter().map(Found::to_string).collect();
    (found, search.events)
}

#[test]
fn a_peer_that_does_not_skip_tries_every_byte() {
    let (found, events) = search(&mut Memory::of_a_socket(), &TCPTRACER);
    assert_eq!(
        found,
        [
            "sock.skc_rcv_saddr 4",
            "sock.skc_daddr 0",
            "sock.skc_family 16",
            "inet_sock.inet_sport 300",
            "sock.skc_dport 12",
            "sock.skc_net 48",
            "net.ns.inum 96"
        ]
    );
    // One for each offset tried: six searches, 48 pointers that are none, 97 places behind the one.
    assert_eq!(events, 5 + 1 + 17 + 285 + 13 + 48 + 97);
}

#[test]
fn a_peer_that_skips_aligns_and_leaves_out_found_fields() {
    let (found, events) = search(&mut Memory::of_a_socket(), &DATADOG);
    assert_eq!(
        found,
        [
            "sock.skc_rcv_saddr 4",
            "sock.skc_daddr 0",
            "sock.skc_dport 12",
            "sock.skc_num 14",
            "sock.skc_family 16",
            "sock.skc_net 48",
            "net.ns.inum 96"
        ]
    );
    // A known place costs the event that showed it: two before the ports, one before the family.
    assert_eq!(events, 2 + 1 + 5 + 2 + 25);
}

#[test]
fn the_first_match_is_taken_and_never_doubted() {
    let mut memory = Memory::of_a_socket();
    let port = memory.expected.sport.to_ne_bytes();
    memory.write(201, &port);
    let (found, _) = search(&mut memory, &TCPTRACER);
    assert!(found.contains(&"inet_sock.inet_sport 201".to_owned()));
}

#[test]
fn a_hint_that_is_wrong_leads_back_to_the_family() {
    let mut memory = Memory::of_a_socket();
    memory.net_at = 32;
    let (found, _) = search(&mut memory, &DATADOG);
    assert!(found.contains(&"sock.skc_net 32".to_owned()), "{found:?}");
}

#[test]
fn a_search_ends_at_its_bound_and_when_too_little_is_seen() {
    for (unseen, netns, why) in [
        (UNSEEN_AT_MOST, 48, GivenUp::Unseen("sock.skc_rcv_saddr")),
        (UNSEEN_AT_MOST - 1, 1000, GivenUp::Overflow("sock.skc_net")),
    ] {
        let mut memory = Memory::of_a_socket();
        memory.unseen = unseen;
        memory.net_at = netns;
        let mut search = Search::new(&mut memory, &TCPTRACER, Vec::new());
        let error = search.run(TCPTRACER.socket).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&why));
    }
}

#[test]
fn round_trip_times_that_lie_apart_are_not_found() {
    for (deviation_at, is_found) in [(1404, true), (1408, false)] {
        let mut memory = Times { deviation_at };
        let mut search = Search::new(&mut memory, &DATADOG, Vec::new());
        let outcome = search.run(&DATADOG.socket[5..]);
        let found: Vec<String> = search.found.iter().map(Found::to_string).collect();
        if is_found {
            assert!(outcome.is_ok());
            assert_eq!(found, ["tcp_sock.srtt_us 1400", "tcp_sock.mdev_us 1404"]);
        } else {
            let why = GivenUp::Overflow("tcp_sock.srtt_us");
            assert_eq!(outcome.unwrap_err().downcast_ref(), Some(&why));
        }
    }
}

/// A smoothed time of 21 µs at 1400, and its deviation of 10 µs.
struct Times {
    deviation_at: u64,
}

impl World for Times {
    fn event(&mut self, candidate: &Candidate) -> anyhow::Result<Option<(Answer, Expected)>> {
        let offset = candidate.offset.next_multiple_of(candidate.align);
        let value = match offset {
            1400 => 21 << 3 | 5,
            at if at == self.deviation_at => 10 << 2 | 1,
            _ => 0,
        };
        let answer = Answer {
            offset,
            inner: 0,
            value,
            failed: false,
        };
        let expected = Expected {
            rtt_us: 21,
            rttvar_us: 10,
            ..Expected::default()
        };
        Ok(Some((answer, expected)))
    }
}
