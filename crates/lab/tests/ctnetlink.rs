//! Entries of our own flows, changed through ctnetlink, as conntrack-tools report them; and the
//! namespaces that have any. Needs root and `/usr/sbin/conntrack`.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::UdpSocket;
use std::process::Command;
use std::process::Stdio;

use harness::Process;
use harness::conntrack_tools::assert_has;
use harness::conntrack_tools::listed;
use harness::need_root;
use lab::nft::Ruleset;
use netlink::Error;
use netlink::Protocol;
use netlink::Socket;
use netlink::ctnetlink;
use netlink::ctnetlink::Change;
use netlink::ctnetlink::Tuple;
use netlink::ctnetlink::status;
use netlink::netns;
use netlink::netns::Namespace;
use netlink::netns::Visit;
use nix::errno::Errno;

const UDP: &[&str] = &["-p", "udp"];

/// A new namespace, in which connections are tracked or not.
fn namespace(tracked: bool) -> Namespace {
    need_root();
    let namespace = Namespace::create().unwrap();
    if tracked {
        let mut socket = namespace.socket(Protocol::Netfilter).unwrap();
        let (v4, v6) = (
            Ruleset::<Ipv4Addr>::default(),
            Ruleset::<Ipv6Addr>::default(),
        );
        assert_eq!(v4.install(&mut socket).unwrap(), []);
        assert_eq!(v6.install(&mut socket).unwrap(), []);
    }
    namespace
}

/// The thread in a namespace that tracks, and a socket there.
fn inside() -> (Visit, Socket) {
    let visit = namespace(true).visit().unwrap();
    (visit, Socket::open(Protocol::Netfilter).unwrap())
}

/// Two sockets of one family, and the flow from the first to the second.
fn pair(address: &str) -> (UdpSocket, UdpSocket, Tuple) {
    let [sender, receiver] = [0, 1].map(|_| UdpSocket::bind(address).unwrap());
    let to = receiver.local_addr().unwrap();
    let tuple = Tuple::udp(sender.local_addr().unwrap(), to);
    sender.connect(to).unwrap();
    (sender, receiver, tuple)
}

fn errno<T>(result: Result<T, Error>) -> Errno {
    result.err().unwrap().errno().unwrap()
}

#[test]
fn status_mark_and_timeout_of_a_flow_are_changed() {
    let (_inside, mut socket) = inside();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (sender, _receiver, tuple) = pair(address);
        assert_eq!(ctnetlink::find(&mut socket, &tuple).unwrap(), None);
        sender.send(b"x").unwrap();
        let before = ctnetlink::find(&mut socket, &tuple).unwrap();
        let before = before.unwrap_or_else(|| panic!("{tuple:?} is not among {:#?}", listed(UDP)));
        let before_status = before.status.unwrap();
        assert_eq!(before_status & (status::SEEN_REPLY | status::ASSURED), 0);

        let mark = Change {
            mark: Some(0xdead_beef),
            ..Change::default()
        };
        ctnetlink::change(&mut socket, &tuple, &mark).unwrap();
        let bits = status::SEEN_REPLY | status::ASSURED | status::FIXED_TIMEOUT;
        let change = Change {
            set_status: bits,
            mark: None,
            timeout_s: Some(10_000),
        };
        ctnetlink::change(&mut socket, &tuple, &change).unwrap();

        let after = ctnetlink::find(&mut socket, &tuple).unwrap().unwrap();
        assert_eq!(after.status, Some(before_status | bits));
        assert_eq!((after.mark, after.id), (Some(0xdead_beef), before.id));
        assert!((9_990..=10_000).contains(&after.timeout_s.unwrap()));
        // 5.10 lets a request change a timeout that is fixed, 6.1 and later do not.
        let again = ctnetlink::change(&mut socket, &tuple, &change);
        let refused = again.err().map(|error| error.errno());
        assert!(
            matches!(refused, None | Some(Some(Errno::EPERM))),
            "{refused:?}"
        );
    }
    let entries = listed(UDP);
    assert_eq!(entries.len(), 2, "{entries:#?}");
    for entry in entries {
        assert_has(&entry, &[&"mark=3735928559", &"[ASSURED]"]);
        assert!(!entry.contains("[UNREPLIED]"), "{entry}");
    }
}

#[test]
fn an_entry_is_deleted_once() {
    let (_inside, mut socket) = inside();
    let (sender, _receiver, tuple) = pair("127.0.0.1:0");
    sender.send(b"x").unwrap();
    assert_eq!(listed(UDP).len(), 1);
    ctnetlink::delete(&mut socket, &tuple).unwrap();
    assert!(listed(UDP).is_empty());
    assert_eq!(errno(ctnetlink::delete(&mut socket, &tuple)), Errno::ENOENT);
    let change = Change {
        set_status: status::ASSURED,
        ..Change::default()
    };
    assert_eq!(
        errno(ctnetlink::change(&mut socket, &tuple, &change)),
        Errno::ENOENT
    );
}

#[test]
fn a_namespace_that_tracks_differs_from_one_that_does_not() {
    let (tracked, untracked) = (namespace(true), namespace(false));
    assert!(lab::tracks(&tracked).unwrap());
    assert!(!lab::tracks(&untracked).unwrap());
    let _inside = tracked.visit().unwrap();
    assert!(listed(UDP).is_empty(), "the probe's entry is deleted");
    assert!(lab::tracks(&tracked).unwrap(), "also in one's own");
    assert!(!lab::tracks(&untracked).unwrap());
}

#[test]
fn ones_own_namespace_comes_first() {
    let tracked = namespace(true);
    let _inside = tracked.visit().unwrap();
    let first = lab::tracking_namespaces(1).next().unwrap().unwrap();
    assert_eq!(first.inum(), tracked.inum());
    assert!(lab::tracking_namespaces(0).next().is_none());
    let _inside = namespace(false).visit().unwrap();
    assert!(lab::tracking_namespaces(1).next().is_none());
}

#[test]
fn every_namespace_of_a_process_is_found_once() {
    let start = || Process::start(Command::new("sleep").arg("60").stdout(Stdio::null()));
    let namespaces = [namespace(true), namespace(false)];
    let two_in = |namespace: &Namespace| [0, 1].map(|_| namespace.run(start).unwrap());
    let sleepers = namespaces.each_ref().map(two_in);
    let found: Vec<u32> = netns::all().flatten().map(|found| found.inum()).collect();
    assert_eq!(found[0], Namespace::current().unwrap().inum());
    for namespace in &namespaces {
        let times = found.iter().filter(|&&inum| inum == namespace.inum());
        assert_eq!(times.count(), 1);
    }
    drop(sleepers);
}
