//! `traffic`: makes the connections of every scene, benchmark and guest. Serves echoes, calls them, and makes
//! many new UDP flows at once; uses only the addresses that it is given.

use std::io;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::process::ExitCode;
use std::str::FromStr;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use clap::Parser;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt;
use shared::cli::Common;
use shared::cli::Tool;
use shared::clock::realtime_ns;
use shared::exit::Answer;
use shared::line::Lines;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Make connections for Sextant's scenes and benchmarks
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Subcommand)]
enum What {
    /// Echo at these ends until standard input ends; prints "ready" once all of them listen
    Serve { ends: Vec<End> },
    /// Call an end, expect an echo, and print both addresses, and CLOCK_REALTIME before and after it
    Call { end: End },
    /// Send one packet on each of many new UDP flows and print the rate
    Flows {
        /// Flows to make
        #[arg(long)]
        count: u32,
        /// Destination: each flow goes to another port of it, from 1024 up
        #[arg(long)]
        to: IpAddr,
    },
    /// Connect to an end and close, over and over, for this long; prints a count after each
    Storm {
        end: End,
        #[arg(long)]
        seconds: u64,
    },
}

/// `tcp:ADDRESS:PORT` or `udp:ADDRESS:PORT`.
#[derive(Clone, Copy)]
struct End {
    is_tcp: bool,
    address: SocketAddr,
}

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (proto, address) = text.split_once(':').ok_or("no protocol")?;
        let address = address.parse().map_err(|_| "no address and port")?;
        match proto {
            "tcp" => Ok(Self {
                is_tcp: true,
                address,
            }),
            "udp" => Ok(Self {
                is_tcp: false,
                address,
            }),
            _ => Err("neither tcp nor udp".into()),
        }
    }
}

impl Tool for Cli {
    const NAME: &'static str = "traffic";

    fn common(&self) -> &Common {
        &self.common
    }
}

fn main() -> ExitCode {
    shared::cli::main(run)
}

fn run(cli: Cli) -> anyhow::Result<Answer> {
    match cli.what {
        What::Serve { ends } => serve(&ends)?,
        What::Call { end } => call(end)?,
        What::Flows { count, to } => flows(count, to)?,
        What::Storm { end, seconds } => storm(end, Duration::from_secs(seconds))?,
    }
    Ok(Answer::Done)
}

fn say(line: &str) -> io::Result<()> {
    let mut out = Lines::stdout();
    out.text(line)?;
    out.flush()
}

fn wait_for_end_of_input() -> io::Result<()> {
    io::copy(&mut io::stdin().lock(), &mut io::sink()).map(drop)
}

fn serve(ends: &[End]) -> anyhow::Result<()> {
    for end in ends {
        let context = || format!("listen at {}", end.address);
        if end.is_tcp {
            let listener = TcpListener::bind(end.address).with_context(context)?;
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    thread::spawn(move || echo_stream(stream));
                }
            });
        } else {
            let socket = UdpSocket::bind(end.address).with_context(context)?;
            thread::spawn(move || {
                let mut packet = [0; 2048];
                while let Ok((length, peer)) = socket.recv_from(&mut packet) {
                    // If one peer is gone, the others are still served.
                    let _ = socket.send_to(&packet[..length], peer);
                }
            });
        }
    }
    say("ready")?;
    Ok(wait_for_end_of_input()?)
}

fn echo_stream(stream: TcpStream) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    io::copy(&mut &stream, &mut writer).map(drop)
}

fn call(end: End) -> anyhow::Result<()> {
    const WORDS: &[u8] = b"echo this\n";
    let context = || format!("call {}", end.address);
    let before_ns = realtime_ns()?;
    if end.is_tcp {
        let mut stream =
            TcpStream::connect_timeout(&end.address, PATIENCE).with_context(context)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(WORDS).with_context(context)?;
        let mut echo = Vec::new();
        BufReader::new(&stream)
            .read_until(b'\n', &mut echo)
            .with_context(context)?;
        check_echo(&echo, WORDS)?;
        let after_ns = realtime_ns()?;
        let (proto, local) = ("tcp", stream.local_addr()?);
        say(&format!(
            "{proto} {local} {} {before_ns} {after_ns}",
            end.address
        ))?;
    } else {
        let any: IpAddr = match end.address {
            SocketAddr::V4(_) => [0, 0, 0, 0].into(),
            SocketAddr::V6(_) => [0_u16; 8].into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(end.address).with_context(context)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send(WORDS).with_context(context)?;
        let mut echo = [0; 64];
        let length = socket.recv(&mut echo).with_context(context)?;
        check_echo(&echo[..length], WORDS)?;
        let after_ns = realtime_ns()?;
        let (proto, local) = ("udp", socket.local_addr()?);
        say(&format!(
            "{proto} {local} {} {before_ns} {after_ns}",
            end.address
        ))?;
    }
    Ok(())
}

fn check_echo(echo: &[u8], words: &[u8]) -> anyhow::Result<()> {
    if echo != words {
        bail!("the echo is not what was said: {} bytes", echo.len());
    }
    Ok(())
}

fn flows(count: u32, to: IpAddr) -> anyhow::Result<()> {
    // Source ports count up from here; the next one is used when all destination ports are used.
    const FIRST_SOURCE: u16 = 20_000;
    const FIRST_PORT: u32 = 1024;
    const PORTS: u32 = 65_536 - FIRST_PORT;
    let any: IpAddr = if to.is_ipv4() {
        [0, 0, 0, 0].into()
    } else {
        [0_u16; 8].into()
    };
    let sockets: Vec<UdpSocket> = (0..count.div_ceil(PORTS))
        .map(|number| UdpSocket::bind((any, FIRST_SOURCE + number as u16)))
        .collect::<io::Result<_>>()
        .context("bind source ports")?;
    let start = Instant::now();
    let mut refused = 0_u32;
    for flow in 0..count {
        let port = (FIRST_PORT + flow % PORTS) as u16;
        // An ICMP error for an earlier packet is returned here, and this packet is not sent.
        if sockets[(flow / PORTS) as usize]
            .send_to(&[0; 8], (to, port))
            .is_err()
        {
            refused += 1;
        }
    }
    let elapsed = start.elapsed();
    let rate = f64::from(count) / elapsed.as_secs_f64();
    say(&format!(
        "flows {count} refused {refused} us {} per_second {rate:.0}",
        elapsed.as_micros()
    ))?;
    Ok(())
}

fn storm(end: End, time: Duration) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut connections = 0_u64;
    while start.elapsed() < time {
        let stream = TcpStream::connect_timeout(&end.address, PATIENCE)
            .with_context(|| format!("connection {connections} to {}", end.address))?;
        stream.set_nodelay(true)?;
        (&stream).write_all(b"x")?;
        (&stream).read_exact(&mut [0])?;
        // Reset instead of TIME-WAIT, so that ports do not run out.
        setsockopt(
            &stream,
            sockopt::Linger,
            &nix::libc::linger {
                l_onoff: 1,
                l_linger: 0,
            },
        )?;
        connections += 1;
        say(&format!("storm {connections}"))?;
    }
    Ok(())
}
