//! The inside of a namespace: sockets that a test itself holds there, and what it sets there. A socket stays
//! in the namespace in which it was made, whichever thread uses it.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::panic::resume_unwind;
use std::process::Command;
use std::thread;

use harness::PATIENCE;
use harness::in_namespace;
use harness::run;
use harness::run_with_input;
use nix::errno::Errno;
use nix::libc;
use nix::sched::CloneFlags;
use nix::sched::CpuSet;
use nix::sched::sched_setaffinity;
use nix::sched::setns;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::SockaddrIn;
use nix::sys::socket::SockaddrStorage;
use nix::sys::socket::bind;
use nix::sys::socket::connect;
use nix::sys::socket::setsockopt;
use nix::sys::socket::socket;
use nix::sys::socket::sockopt;
use nix::sys::time::TimeVal;
use nix::unistd::Pid;

/// Does this on a thread of its own in a named namespace.
///
/// # Panics
/// If this is not root, or the work panics.
pub fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let file = File::open(format!("/run/netns/{namespace}")).expect("the namespace is there");
    let done = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(&file, CloneFlags::CLONE_NEWNET).expect("root can enter a namespace");
            work()
        });
        thread.join()
    });
    done.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Binds this thread to a processor: the slab then gives back at once what was freed there.
///
/// # Panics
/// If there is no such processor.
pub fn stay_on(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor).expect("a small number");
    sched_setaffinity(Pid::from_raw(0), &set).expect("the processor is there");
}

/// Loads nft's rules.
///
/// # Panics
/// If nft refuses them.
pub fn rules(namespace: &str, rules: &str) {
    let mut nft = in_namespace(namespace, "nft");
    let _ = run_with_input(nft.args(["-f", "-"]), rules.as_bytes()).success();
}

/// What a named counter of nft's table `inet NAME` has counted, in packets.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn counted(namespace: &str, table: &str, counter: &str) -> u64 {
    let mut nft = in_namespace(namespace, "nft");
    let finished = run(nft.args(["-j", "list", "counter", "inet", table, counter]));
    let packets = &finished.json()["nftables"][1]["counter"]["packets"];
    packets.as_u64().expect("a number of packets")
}

/// Sets a file of `/proc/sys`.
///
/// # Panics
/// If the kernel refuses.
pub fn write(namespace: &str, file: &str, value: &str) {
    let script = format!("echo {value} >/proc/sys/{file}");
    let _ = run(in_namespace(namespace, "sh").args(["-c", &script])).success();
}

/// `ip` there, with these words.
///
/// # Panics
/// If it fails.
pub fn ip(namespace: &str, words: &str) {
    let mut command = Command::new("ip");
    let command = command.args(["-n", namespace]);
    let _ = run(command.args(words.split_whitespace())).success();
}

/// A UDP socket of this address there. It waits no longer than the tests' patience for a packet.
///
/// # Panics
/// If the address cannot be had.
#[must_use]
pub fn udp(namespace: &str, address: &str) -> UdpSocket {
    let socket = inside(namespace, || UdpSocket::bind(address));
    let socket = socket.unwrap_or_else(|error| panic!("udp {address}: {error}"));
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

/// Connects there, from this address if one is given, which another socket may have had a moment ago.
///
/// # Errors
/// What the kernel says of the connection.
pub fn tcp(namespace: &str, from: Option<&str>, to: &str) -> io::Result<TcpStream> {
    let socket = stream_socket(namespace, from, to, SockFlag::SOCK_CLOEXEC)?;
    connect(socket.as_raw_fd(), &storage(to))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Begins to connect there, and does not wait for the answer.
///
/// # Panics
/// If the kernel does not send the first packet.
#[must_use]
pub fn knock(namespace: &str, to: &str) -> TcpStream {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = stream_socket(namespace, None, to, flags).expect("a socket");
    let sent = connect(socket.as_raw_fd(), &storage(to));
    assert_eq!(sent, Err(Errno::EINPROGRESS), "{to}");
    socket
}

/// Closes a connection by a reset, so that its port is free at once.
///
/// # Panics
/// If the kernel refuses.
pub fn reset(stream: TcpStream) {
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&stream, sockopt::Linger, &at_once).expect("a socket can be told to reset");
}

fn stream_socket(
    namespace: &str,
    from: Option<&str>,
    to: &str,
    flags: SockFlag,
) -> io::Result<TcpStream> {
    let family = if address(to).is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let socket = inside(namespace, || socket(family, SockType::Stream, flags, None))?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    // It limits connect(), too.
    let patience = TimeVal::new(PATIENCE.as_secs() as i64, 0);
    setsockopt(&socket, sockopt::SendTimeout, &patience)?;
    if let Some(from) = from {
        bind(socket.as_raw_fd(), &storage(from))?;
    }
    Ok(socket.into())
}

/// Sends one IPv4 packet there, whose header is written by hand: the payload is the protocol's affair.
///
/// # Panics
/// If the kernel refuses.
pub fn packet(namespace: &str, proto: u8, src: [u8; 4], dst: [u8; 4], payload: &[u8]) {
    use nix::sys::socket::MsgFlags;
    use nix::sys::socket::SockProtocol;
    use nix::sys::socket::sendto;

    // Length, identification and checksum are filled in by the kernel.
    let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, proto, 0, 0];
    bytes.extend(src);
    bytes.extend(dst);
    bytes.extend(payload);
    let to = SockaddrIn::new(dst[0], dst[1], dst[2], dst[3], 0);
    let sent = inside(namespace, || {
        let flags = SockFlag::SOCK_CLOEXEC;
        let raw = SockProtocol::Raw;
        let socket = socket(AddressFamily::Inet, SockType::Raw, flags, raw)?;
        sendto(socket.as_raw_fd(), &bytes, &to, MsgFlags::empty())
    });
    assert_eq!(sent, Ok(bytes.len()), "protocol {proto} to {dst:?}");
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address and port")
}

fn storage(text: &str) -> SockaddrStorage {
    address(text).into()
}
