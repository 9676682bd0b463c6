//! Attached is not firing: makes one rewritten connection in a namespace of its own and waits
//! for the programs to tell of it.

use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddrV4;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use lab::modules::Modules;
use lab::nft;
use lab::nft::Rewrite;
use lab::nft::Ruleset;
use netlink::Protocol;
use netlink::netns::Namespace;
use shared::exit::Failure;
use shared::record::wire::Record;
use shared::record::wire::address_bytes;

use crate::bpf::Events;

/// Events come without delay; this is for a busy machine.
const PATIENCE: Duration = Duration::from_millis(500);
/// In 127.0.0.0/8, which no host routes; nobody else uses these two.
const CALLED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 83, 88, 84), 4783);
const REAL: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 83, 88, 85), 4784);

/// Makes a connection and returns its id, by which it and its end are kept from the user. What
/// else the programs tell meanwhile is appended to `early`.
///
/// Nothing, with the reason in the log, if no such connection can be made.
///
/// # Errors
/// Exit 5 if the programs stay silent.
pub fn fire(
    events: &mut Events,
    may_change_system: bool,
    early: &mut Vec<Record>,
) -> anyhow::Result<Option<u64>> {
    let missing = Modules::running().would_load(nft::MODULES);
    if !missing.is_empty() && !may_change_system {
        let missing = missing.join(", ");
        log::info!("the hook is attached and not proven to fire: that would load {missing}");
        return Ok(None);
    }
    // Held until the end: its number must not name another namespace meanwhile.
    let namespace = match make_connection() {
        Ok(namespace) => namespace,
        Err(error) => {
            log::info!("the hook is attached and not proven to fire: {error:#}");
            return Ok(None);
        }
    };
    let begun = Instant::now();
    let deadline = begun + PATIENCE;
    loop {
        let had = early.len();
        events.take(early)?;
        if let Some(at) = (had..early.len()).find(|at| is_ours(&early[*at], namespace.inum())) {
            log::debug!("the hook fired after {:?}", begun.elapsed());
            return Ok(Some(early.remove(at).ct_id));
        }
        if Instant::now() >= deadline {
            let text = "the hook is attached but does not fire".to_owned();
            return Err(Failure::Kernel(text).into());
        }
        if early.len() == had {
            thread::sleep(Duration::from_micros(100));
        }
    }
}

fn is_ours(record: &Record, netns_ino: u32) -> bool {
    record.orig_dst == address_bytes((*CALLED.ip()).into())
        && record.orig_dport == CALLED.port()
        && (record.netns_ino == 0 || record.netns_ino == netns_ino)
}

fn make_connection() -> anyhow::Result<Namespace> {
    let namespace = Namespace::create()?;
    let ruleset = Ruleset {
        dnat: vec![Rewrite {
            from: *CALLED.ip(),
            from_port: None,
            to: *REAL.ip(),
            to_port: Some(REAL.port()),
        }],
        ..Ruleset::default()
    };
    let mut socket = namespace.socket(Protocol::Netfilter)?;
    if let Some((part, refusal)) = ruleset.install(&mut socket)?.into_iter().next() {
        anyhow::bail!("{part:?} is refused: {refusal}");
    }
    namespace.run(|| -> io::Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.send_to(b"sextant", CALLED)?;
        Ok(())
    })??;
    Ok(namespace)
}
