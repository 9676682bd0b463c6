//! The events of the peers, in the namespace that the program is started in: one TCP connection or
//! many over loopback, and UDP flows of one packet.

use std::io;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::SocketAddrV4;
use std::net::TcpListener;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use netlink::netns::Namespace;
use nix::libc;
use nix::sys::socket::getsockopt;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt;
use nix::sys::socket::sockopt::GetStruct;

use crate::bpf::Mailbox;
use crate::plan::Expected;
use crate::plan::Object;
use crate::plan::Trigger;
use crate::search::Answer;
use crate::search::Candidate;
use crate::search::World;

/// The addresses that the peers use. A flow's source differs from a connection's, so that they are not
/// confused.
const SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const FLOW_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

nix::getsockopt_impl!(
    TcpInfo,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    libc::tcp_info,
    GetStruct<libc::tcp_info>
);

/// What the kernel reports of a TCP connection; nix does not name it.
#[derive(Debug, Clone, Copy)]
struct TcpInfo;

/// Where the peers sleep.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// Whether they do here, too.
    pub kept: bool,
}

impl Waits {
    /// Before an unseen event is repeated.
    const UNSEEN: Duration = Duration::from_millis(10);
    /// Between two looks at a connection that has to settle.
    const SETTLE: Duration = Duration::from_millis(200);
    /// Before the next attempt.
    const ATTEMPT: Duration = Duration::from_secs(1);

    fn sleep(self, time: Duration) {
        if self.kept {
            thread::sleep(time);
        }
    }

    /// Sleeps before the next attempt.
    pub fn before_attempt(self) {
        self.sleep(Self::ATTEMPT);
    }
}

/// What one attempt needs.
pub struct Sockets<'a, 'obj> {
    mailbox: &'a Mailbox<'obj>,
    trigger: Trigger,
    waits: Waits,
    listener: TcpListener,
    /// Both ends of the one connection, and what is expected of it.
    connection: (TcpStream, TcpStream),
    expected: Expected,
    flow_server: UdpSocket,
}

impl<'a, 'obj> Sockets<'a, 'obj> {
    /// Opens what is needed. The times of the one connection count only if it `settles`.
    ///
    /// # Errors
    /// If loopback is down, or the connection's times do not settle.
    pub fn open(
        mailbox: &'a Mailbox<'obj>,
        trigger: Trigger,
        waits: Waits,
        settles: bool,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((SERVER, 0)).context("listen")?;
        let netns = Namespace::current()?.inum();
        let connection = connect(&listener)?;
        connection.0.set_nonblocking(true)?;
        let seen = if settles {
            settled(&connection.0, waits)
        } else {
            look(&connection.0)
        };
        let expected = Expected { netns, ..seen? };
        Ok(Self {
            mailbox,
            trigger,
            waits,
            listener,
            connection,
            expected,
            flow_server: UdpSocket::bind((SERVER, 0)).context("serve UDP")?,
        })
    }

    fn socket_event(&mut self) -> anyhow::Result<Expected> {
        match self.trigger {
            // There is nothing to receive, and nothing changes by asking.
            Trigger::Call => match self.connection.0.read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(self.expected),
                other => bail!("an idle connection is not idle: {other:?}"),
            },
            Trigger::Connect => {
                let (client, _server) = connect(&self.listener)?;
                let seen = look(&client)?;
                Ok(Expected {
                    netns: self.expected.netns,
                    ..seen
                })
            }
        }
    }

    fn flow_event(&self) -> anyhow::Result<Expected> {
        let client = UdpSocket::bind((FLOW_SOURCE, 0)).context("bind a flow")?;
        client.connect(self.flow_server.local_addr()?)?;
        client.send(b"foo").context("send the packet of a flow")?;
        let netns = self.expected.netns;
        expected(client.local_addr()?, client.peer_addr()?, netns)
    }
}

impl World for Sockets<'_, '_> {
    fn event(&mut self, candidate: &Candidate) -> anyhow::Result<Option<(Answer, Expected)>> {
        self.mailbox.ask(candidate)?;
        let expected = match candidate.object {
            Object::Sock => self.socket_event()?,
            Object::NfConn => self.flow_event()?,
        };
        let answer = self.mailbox.answer()?;
        if answer.is_none() {
            self.waits.sleep(Waits::UNSEEN);
        }
        Ok(answer.map(|answer| (answer, expected)))
    }
}

/// A new connection to the listener, which ends with a reset, so that ports do not run out.
fn connect(listener: &TcpListener) -> anyhow::Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(listener.local_addr()?).context("connect")?;
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&client, sockopt::Linger, &linger)?;
    let (server, _) = listener.accept().context("accept")?;
    Ok((client, server))
}

/// Looks until two looks at a connection agree.
fn settled(connection: &TcpStream, waits: Waits) -> anyhow::Result<Expected> {
    const LOOKS: usize = 6;
    let mut before = None;
    for _ in 0..LOOKS {
        let now = look(connection)?;
        if before == Some(now) {
            return Ok(now);
        }
        before = Some(now);
        waits.sleep(Waits::SETTLE);
    }
    bail!("the connection's times do not settle")
}

fn look(connection: &TcpStream) -> anyhow::Result<Expected> {
    let info = getsockopt(connection, TcpInfo).context("get TCP_INFO")?;
    Ok(Expected {
        rtt_us: info.tcpi_rtt,
        rttvar_us: info.tcpi_rttvar,
        ..expected(connection.local_addr()?, connection.peer_addr()?, 0)?
    })
}

fn expected(from: SocketAddr, to: SocketAddr, netns: u32) -> anyhow::Result<Expected> {
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (from, to) else {
        bail!("an IPv4 socket has another address");
    };
    let address = |end: SocketAddrV4| u32::from_ne_bytes(end.ip().octets());
    Ok(Expected {
        saddr: address(from),
        daddr: address(to),
        sport: from.port().to_be(),
        dport: to.port().to_be(),
        netns,
        ..Expected::default()
    })
}
