//! Attached is not firing: makes connections in a namespace of its own and looks whether the programs
//! report them: one that begins and is refused at once, and one that user space inserts.

use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddrV4;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use lab::modules::Modules;
use lab::nft;
use lab::nft::Rewrite;
use lab::nft::Ruleset;
use netlink::Protocol;
use netlink::ctnetlink;
use netlink::ctnetlink::Tuple;
use netlink::netns::Namespace;
use shared::exit::Failure;
use shared::record::wire::Record;
use shared::record::wire::address_bytes;
use shared::record::wire::kind;
use shared::record::wire::known;

use crate::bpf::events::Events;
use crate::bpf::hooks::Role;
use crate::bpf::programs::Programs;
use crate::ctnetlink::modules::may_be_used;

/// Events come without delay; this is for a busy machine.
const PATIENCE: Duration = Duration::from_millis(500);
/// In 127.0.0.0/8, which no host routes, and unlikely to be used by others.
const CALLED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 83, 88, 84), 4783);
const REAL: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 83, 88, 85), 4784);
/// The one that user space inserts has other ports.
const INSERTED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 83, 88, 84), 4785);
const CALLER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4786);

/// What was learnt by firing.
#[derive(Default)]
pub struct Proof {
    /// Ids of our own connections, whose records users must not see.
    pub our_ids: Vec<u64>,
    /// Records of others that arrived meanwhile.
    pub early: Vec<Record>,
    /// Roles whose hook has reported what we did.
    pub proven: Vec<Role>,
}

/// Fires each hook. A hook of insertions or ends that does not fire is detached: others report the
/// ends, or none does, which the log says.
///
/// # Errors
/// Exit 5 if beginnings are not reported, or the sweep does not find an end.
pub fn prove(
    programs: &mut Programs,
    events: &mut Events,
    may_change_system: bool,
) -> anyhow::Result<Proof> {
    let mut proof = Proof::default();
    // Kept until the end: its inode number must not be given to another namespace meanwhile.
    let namespace = match prepare(may_change_system) {
        Ok(namespace) => namespace,
        Err(error) => {
            log::info!("the hooks are attached, but not proven to fire: {error:#}");
            return Ok(proof);
        }
    };
    let fired = fire(programs, events, &mut proof, &namespace, may_change_system);
    proof.hide_ours(events, namespace.inum())?;
    fired.map(|()| proof)
}

fn fire(
    programs: &mut Programs,
    events: &mut Events,
    proof: &mut Proof,
    namespace: &Namespace,
    may_change_system: bool,
) -> anyhow::Result<()> {
    let refused = namespace.run(|| TcpStream::connect(CALLED).map(drop))?;
    if let Err(error) = refused {
        // The answer to the call removes the connection again.
        if error.kind() != io::ErrorKind::ConnectionRefused {
            log::info!("the hooks are attached, but not proven to fire: {error}");
            return Ok(());
        }
    }
    let inum = namespace.inum();
    let Some(id) = proof.await_record(events, |record| {
        record.r#type == kind::NEW && is_to(record, CALLED, inum)
    })?
    else {
        let text = "the hook is attached but does not fire".to_owned();
        return Err(Failure::Kernel(text).into());
    };
    proof.proven.push(Role::Begin);
    proof.our_ids.push(id);
    prove_end(programs, events, proof, id)?;
    prove_insert(programs, events, proof, namespace, may_change_system)
}

/// The connection with this id has ended: does the hook report it, or else the sweep?
fn prove_end(
    programs: &mut Programs,
    events: &mut Events,
    proof: &mut Proof,
    id: u64,
) -> anyhow::Result<()> {
    let is_its_end = |record: &Record| record.r#type == kind::DESTROY && record.ct_id == id;
    if let Some(symbol) = programs.symbol(Role::End) {
        if proof.await_record(events, is_its_end)?.is_some() {
            proof.proven.push(Role::End);
            return Ok(());
        }
        log::warn!(
            "{symbol} is attached but does not fire: {}",
            Role::End.without()
        );
        programs.detach_role(Role::End);
    }
    programs.sweep()?;
    if proof.await_record(events, is_its_end)?.is_none() {
        let text = "the sweep does not find the end of a connection".to_owned();
        return Err(Failure::Kernel(text).into());
    }
    Ok(())
}

fn prove_insert(
    programs: &mut Programs,
    events: &mut Events,
    proof: &mut Proof,
    namespace: &Namespace,
    may_change_system: bool,
) -> anyhow::Result<()> {
    let Some(symbol) = programs.symbol(Role::Insert) else {
        return Ok(());
    };
    if let Err(why) = may_be_used(may_change_system) {
        log::info!("{symbol} is attached, but not proven to fire: {why}");
        return Ok(());
    }
    if let Err(error) = insert(namespace) {
        log::info!("{symbol} is attached, but not proven to fire: {error:#}");
        return Ok(());
    }
    let inum = namespace.inum();
    let inserted = proof.await_record(events, |record| {
        record.r#type == kind::NEW && is_to(record, INSERTED, inum)
    })?;
    match inserted {
        Some(id) => {
            proof.proven.push(Role::Insert);
            proof.our_ids.push(id);
        }
        None => {
            let without = Role::Insert.without();
            log::warn!("{symbol} is attached but does not fire: {without}");
            programs.detach_role(Role::Insert);
        }
    }
    Ok(())
}

impl Proof {
    /// Keeps whatever was reported of our namespace from users, also what we did not wait for.
    fn hide_ours(&mut self, events: &mut Events, inum: u32) -> anyhow::Result<()> {
        let Self { our_ids, early, .. } = self;
        while events.take(&mut |record| early.push(*record))? {}
        early.retain(|record| {
            let is_ours = record.knows(known::NETNS) && record.netns_ino == inum;
            if is_ours {
                our_ids.push(record.ct_id);
            }
            !is_ours
        });
        Ok(())
    }

    /// Waits for such a record, or finds it among those that came before, and gives its id; `None` if it
    /// does not come. All others are kept.
    fn await_record(
        &mut self,
        events: &mut Events,
        is_it: impl Fn(&Record) -> bool,
    ) -> anyhow::Result<Option<u64>> {
        let begun = Instant::now();
        let mut found = None;
        if let Some(at) = self.early.iter().position(&is_it) {
            return Ok(Some(self.early.remove(at).ct_id));
        }
        loop {
            let is_late = begun.elapsed() >= PATIENCE;
            let had_any = events.take(&mut |record| {
                if found.is_none() && is_it(record) {
                    found = Some(record.ct_id);
                } else {
                    self.early.push(*record);
                }
            })?;
            if found.is_some() || is_late {
                return Ok(found);
            }
            if !had_any {
                thread::sleep(Duration::from_micros(100));
            }
        }
    }
}

fn is_to(record: &Record, called: SocketAddrV4, netns_ino: u32) -> bool {
    record.orig_dst == address_bytes((*called.ip()).into())
        && record.orig_dport == called.port()
        && (record.netns_ino == 0 || record.netns_ino == netns_ino)
}

/// A namespace in which calls are tracked and translated, so that programs that report only those
/// with NAT report them, too.
fn prepare(may_change_system: bool) -> anyhow::Result<Namespace> {
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
    Ok(namespace)
}

fn insert(namespace: &Namespace) -> anyhow::Result<()> {
    let mut socket = namespace.socket(Protocol::Netfilter)?;
    let original = Tuple::udp(CALLER, INSERTED);
    let reply = Tuple::udp(REAL, CALLER);
    ctnetlink::insert(&mut socket, &original, &reply, 10).context("insert a connection")
}
