//! Netlink sockets against the running kernel, in namespaces of their own. Needs root.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;

use netlink::DumpEnd;
use netlink::Error;
use netlink::Listener;
use netlink::Message;
use netlink::NLM_F_ACK;
use netlink::NLM_F_CREATE;
use netlink::NLM_F_EXCL;
use netlink::Protocol;
use netlink::Received;
use netlink::Request;
use netlink::Socket;
use netlink::netns::Namespace;
use netlink::netns::Visit;
use netlink::rtnetlink::RouteReply;
use netlink::rtnetlink::RouteRequest;
use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::NetlinkAddr;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockProtocol;
use nix::sys::socket::SockType;
use nix::sys::socket::getsockname;
use nix::sys::socket::sendto;
use nix::sys::socket::socket;
use nix::unistd::geteuid;

const AF_INET: u8 = libc::AF_INET as u8;

fn lab() -> (Visit, Socket) {
    assert!(
        geteuid().is_root(),
        "this test makes network namespaces: run it as root"
    );
    let inside = Namespace::create().unwrap().visit().unwrap();
    (inside, Socket::open(Protocol::Route).unwrap())
}

/// Adds 10.x.y.z/32 to loopback.
fn add_address(number: u32) -> Request {
    // struct ifaddrmsg: family, prefix length, flags, scope, index of loopback.
    let ifaddrmsg = [[AF_INET, 32, 0, 0], 1_u32.to_ne_bytes()].concat();
    let mut request = Request::new(
        libc::RTM_NEWADDR,
        NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK,
        &ifaddrmsg,
    );
    request
        .attrs()
        .put(libc::IFA_LOCAL, &(0x0a00_0000 | number).to_be_bytes());
    request
}

fn address_of(message: &Message<'_>) -> Option<Ipv4Addr> {
    let (_, attrs) = message.split::<8>().unwrap();
    attrs
        .map(Result::unwrap)
        .find(|attr| attr.kind == libc::IFA_LOCAL)
        .map(|attr| Ipv4Addr::from(attr.u32_be().unwrap()))
}

#[test]
fn a_refusal_carries_the_kernels_own_words() {
    let (_inside, mut socket) = lab();
    // struct rtmsg naming a table, which the strict check forbids here.
    let mut rtmsg = [0; 12];
    (rtmsg[0], rtmsg[1], rtmsg[4]) = (AF_INET, 32, 99);
    let mut request = Request::new(libc::RTM_GETROUTE, 0, &rtmsg);
    request.attrs().put(libc::RTA_DST, &[127, 0, 0, 1]);
    let Err(Error::Refused(refusal)) = socket.query(&mut request, |_| ()) else {
        panic!("a wrong request was answered");
    };
    assert_eq!(refusal.errno, Errno::EINVAL);
    assert!(
        refusal
            .text
            .as_deref()
            .is_some_and(|text| text.contains("get request")),
        "{refusal}"
    );
    let mut again = add_address(1);
    socket.request(&mut again).unwrap();
    let error = socket.request(&mut again).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EEXIST), "{error}");
}

#[test]
fn a_query_has_one_answer() {
    let (_inside, mut socket) = lab();
    let mut request = RouteRequest::to([127, 0, 0, 1].into()).message();
    for _ in 0..3 {
        let reply = socket.query(&mut request, RouteReply::parse).unwrap();
        assert_eq!(reply.unwrap().oif, Some(1));
    }
}

#[test]
fn a_dump_of_many_datagrams_is_complete() {
    let (_inside, mut socket) = lab();
    let mut requests: Vec<Request> = (1..=2_000).map(add_address).collect();
    for batch in requests.chunks_mut(50) {
        assert_eq!(socket.transact(batch).unwrap(), []);
    }
    let mut seen = Vec::new();
    let end = socket.dump(
        &mut Request::new(libc::RTM_GETADDR, 0, &[AF_INET, 0, 0, 0, 0, 0, 0, 0]),
        |message| {
            seen.extend(address_of(message));
        },
    );
    assert_eq!(end, Ok(DumpEnd::Consistent));
    seen.retain(|address| address.octets()[0] == 10);
    seen.sort();
    let wanted: Vec<Ipv4Addr> = (1..=2_000_u32).map(|n| (0x0a00_0000 | n).into()).collect();
    assert_eq!(seen, wanted);
}

#[test]
fn a_change_during_a_dump_is_reported() {
    let (_inside, mut socket) = lab();
    let mut requests: Vec<Request> = (1..=2_000).map(add_address).collect();
    for batch in requests.chunks_mut(50) {
        assert_eq!(socket.transact(batch).unwrap(), []);
    }
    let mut other = Socket::open(Protocol::Route).unwrap();
    let mut change = Some(add_address(70_000));
    let end = socket.dump(
        &mut Request::new(libc::RTM_GETADDR, 0, &[AF_INET, 0, 0, 0, 0, 0, 0, 0]),
        |_| {
            if let Some(mut change) = change.take() {
                other.request(&mut change).unwrap();
            }
        },
    );
    assert_eq!(end, Ok(DumpEnd::Interrupted));
}

#[test]
fn each_refused_request_of_several_is_named() {
    let (_inside, mut socket) = lab();
    let mut requests = [1, 2, 1, 3, 2].map(add_address);
    let refused = socket.transact(&mut requests).unwrap();
    let refused: Vec<_> = refused
        .iter()
        .map(|(index, why)| (*index, why.errno))
        .collect();
    assert_eq!(refused, [(2, Errno::EEXIST), (4, Errno::EEXIST)]);
}

#[test]
fn a_listener_receives_from_the_kernel_only() {
    let (_inside, mut socket) = lab();
    let mut listener = Listener::open(Protocol::Route).unwrap();
    socket.request(&mut add_address(1)).unwrap();
    assert!(
        matches!(listener.receive().unwrap(), Received::Nothing),
        "no group is joined yet"
    );
    listener.join(libc::RTNLGRP_IPV4_IFADDR).unwrap();

    let port = getsockname::<NetlinkAddr>(listener.as_fd().as_raw_fd())
        .unwrap()
        .pid();
    let liar = socket_of_another_program();
    let forged = [16_u32.to_ne_bytes(), [20, 0, 0, 0], [0; 4], [0; 4]].concat();
    let to = NetlinkAddr::new(port, 0);
    sendto(liar.as_raw_fd(), &forged, &to, MsgFlags::empty()).unwrap();
    assert!(
        matches!(listener.receive().unwrap(), Received::Nothing),
        "the forged event is heard"
    );

    socket.request(&mut add_address(2)).unwrap();
    let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::from(5_000_u16)).unwrap(), 1);
    let Received::Messages(mut messages) = listener.receive().unwrap() else {
        panic!("the event is not there");
    };
    let event = messages.next().unwrap().unwrap();
    assert_eq!(event.kind, libc::RTM_NEWADDR);
    assert_eq!(address_of(&event), Some(Ipv4Addr::new(10, 0, 0, 2)));
    assert!(messages.next().is_none());
}

fn socket_of_another_program() -> OwnedFd {
    let flags = SockFlag::SOCK_CLOEXEC;
    let protocol = SockProtocol::NetlinkRoute;
    socket(AddressFamily::Netlink, SockType::Raw, flags, protocol).unwrap()
}

#[test]
fn lost_events_are_reported_once_and_later_ones_arrive() {
    let (_inside, mut socket) = lab();
    let mut listener = Listener::open(Protocol::Route).unwrap();
    let granted = listener.set_receive_buffer(4_096).unwrap();
    assert!(granted < 32_768, "{granted}");
    listener.join(libc::RTNLGRP_IPV4_IFADDR).unwrap();
    for number in 1..=200 {
        socket.request(&mut add_address(number)).unwrap();
    }
    let (mut heard, mut lost) = (0, 0);
    loop {
        match listener.receive().unwrap() {
            Received::Nothing => break,
            Received::Lost => lost += 1,
            Received::Messages(messages) => heard += messages.count(),
        }
    }
    assert!(heard < 200, "{heard}");
    assert_eq!(lost, 1);
    socket.request(&mut add_address(300)).unwrap();
    assert!(matches!(listener.receive().unwrap(), Received::Messages(_)));
}

#[test]
fn a_large_receive_buffer_is_granted() {
    let (_inside, _) = lab();
    let listener = Listener::open(Protocol::Netfilter).unwrap();
    let wanted = 8 << 20;
    assert_eq!(listener.set_receive_buffer(wanted).unwrap(), 2 * wanted);
}
