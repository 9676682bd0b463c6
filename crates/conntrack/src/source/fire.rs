//! Attached is not firing: makes one connection with NAT in a namespace of its own and waits until
//! the programs report it.

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

use crate::bpf::events::Events;

/// Events come without delay; this is for a busy machine.
const PATIENCE: Duration = Duration::from_millis(500);
/// In 127.0.0.0/8, which no host routes, and unlikely to be used by others.
const CALLED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 83, 88, 84), 4783);
const REAL: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 83, 88, 85), 4784);

/// Fires the hook for beginnings: makes a connection and returns its id, so that its records can be
/// kept from users. Other records that arrive meanwhile are appended to `early`.
///
/// `None`, with the reason in the log, if no such connection can be made.
///
/// # Errors
/// Exit 5 if the programs report nothing.
pub fn fire_begin(
    events: &mut Events,
    may_change_system: bool,
    early: &mut Vec<Record>,
) -> anyhow::Result<Option<u64>> {
    // Kept until the end: its inode number must not be given to another namespace meanwhile.
    let namespace = match make_connection(may_change_system) {
        Ok(namespace) => namespace,
        Err(error) => {
            log::info!("the hook is attached, but not proven to fire: {error:#}");
            return Ok(None);
        }
    };
    let begun = Instant::now();
    let mut our_id = None;
    while our_id.is_none() {
        let is_late = begun.elapsed() >= PATIENCE;
        let had_any = events.take(&mut |record| {
            if our_id.is_none() && is_ours(record, namespace.inum()) {
                our_id = Some(record.ct_id);
            } else {
                early.push(*record);
            }
        })?;
        if our_id.is_none() && is_late {
            let text = "the hook is attached but does not fire".to_owned();
            return Err(Failure::Kernel(text).into());
        }
        if !had_any {
            thread::sleep(Duration::from_micros(100));
        }
    }
    log::debug!("the hook fired after {:?}", begun.elapsed());
    Ok(our_id)
}

fn is_ours(record: &Record, netns_ino: u32) -> bool {
    record.orig_dst == address_bytes((*CALLED.ip()).into())
        && record.orig_dport == CALLED.port()
        && (record.netns_ino == 0 || record.netns_ino == netns_ino)
}

fn make_connection(may_change_system: bool) -> anyhow::Result<Namespace> {
    let missing = Modules::running().would_load(nft::MODULES);
    if !missing.is_empty() && !may_change_system {
        anyhow::bail!("that would load {}", missing.join(", "));
    }
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
