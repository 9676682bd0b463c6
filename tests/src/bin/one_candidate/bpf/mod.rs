//! The BPF programs that read one value at one offset: loads and attaches those that a peer needs, writes
//! candidates and reads answers by map system calls, as the peers do.

mod skel;

use std::mem::MaybeUninit;
use std::mem::offset_of;

use anyhow::Context as _;
use libbpf_rs::ErrorKind;
use libbpf_rs::Link;
use libbpf_rs::MapCore as _;
use libbpf_rs::MapFlags;
use libbpf_rs::OpenObject;
use libbpf_rs::set_print;
use libbpf_rs::skel::OpenSkel as _;
use libbpf_rs::skel::SkelBuilder as _;
use shared::exit::Failure;

use crate::plan::Object;
use crate::plan::Trigger;
use crate::search::Answer;
use crate::search::Candidate;
use skel::OneCandidateSkel;
use skel::OneCandidateSkelBuilder;
use skel::types::one_object;
use skel::types::one_state;
use skel::types::one_status;

const KEY: [u8; 8] = [0; 8];
const STATUS_BYTES: usize = size_of::<one_status>();
/// Length of a thread's name, with the byte that ends it.
pub const COMM_BYTES: usize = STATUS_BYTES - offset_of!(one_status, comm);

/// The map with one entry, and the programs that look into it.
pub struct Mailbox<'obj> {
    // Dropped before the programs that they keep attached.
    _links: Vec<Link>,
    skel: OneCandidateSkel<'obj>,
    comm: [u8; COMM_BYTES],
}

impl<'obj> Mailbox<'obj> {
    /// Loads and attaches what shows sockets in this way, and packets if an offset of their `_nfct`
    /// is known. Only events of threads with this name are read.
    ///
    /// # Errors
    /// Exit 4 or 5 if the kernel refuses.
    pub fn open(
        object: &'obj mut MaybeUninit<OpenObject>,
        trigger: Trigger,
        nfct: Option<u32>,
        comm: [u8; COMM_BYTES],
    ) -> anyhow::Result<Self> {
        // The errors contain what libbpf would print.
        set_print(None);
        let mut open = OneCandidateSkelBuilder::default()
            .open(object)
            .context("open the BPF object")?;
        let programs = &mut open.progs;
        programs
            .on_sock_state
            .set_autoload(trigger == Trigger::Connect);
        programs.on_receive.set_autoload(trigger == Trigger::Call);
        programs.on_packet.set_autoload(nfct.is_some());
        let rodata = open.maps.rodata_data.as_deref_mut();
        rodata
            .context("the BPF object has no read-only data")?
            .off_nfct = nfct.unwrap_or(0);
        let skel = open
            .load()
            .map_err(|error| refused("load the programs", error))?;
        let programs = &skel.progs;
        let (program, name) = match trigger {
            Trigger::Connect => (&programs.on_sock_state, "inet_sock_set_state"),
            Trigger::Call => (&programs.on_receive, "sock_recv_length"),
        };
        let mut links = Vec::new();
        for (program, name) in [(program, name)]
            .into_iter()
            .chain(nfct.map(|_| (&programs.on_packet, "net_dev_queue")))
        {
            let link = program
                .attach_raw_tracepoint(name)
                .map_err(|error| refused(&format!("attach raw tracepoint {name}"), error))?;
            links.push(link);
        }
        Ok(Self {
            _links: links,
            skel,
            comm,
        })
    }

    /// Sets the candidate of the next event.
    ///
    /// # Errors
    /// If the map cannot be written.
    pub fn ask(&self, candidate: &Candidate) -> anyhow::Result<()> {
        let object = match candidate.object {
            Object::Sock => one_object::ONE_SOCK,
            Object::NfConn => one_object::ONE_NF_CONN,
        };
        let mut status = [0; STATUS_BYTES];
        for (at, number) in [
            (offset_of!(one_status, state), one_state::ONE_CHECKING.0),
            (offset_of!(one_status, object), object.0),
        ] {
            status[at..at + 4].copy_from_slice(&number.to_ne_bytes());
        }
        for (at, number) in [
            (offset_of!(one_status, offset), candidate.offset),
            (
                offset_of!(one_status, follows),
                candidate.inner.is_some().into(),
            ),
            (
                offset_of!(one_status, inner),
                candidate.inner.unwrap_or_default(),
            ),
            (offset_of!(one_status, bytes), candidate.bytes),
            (offset_of!(one_status, align), candidate.align),
            (offset_of!(one_status, inner_align), candidate.inner_align),
        ] {
            status[at..at + 8].copy_from_slice(&number.to_ne_bytes());
        }
        status[offset_of!(one_status, comm)..].copy_from_slice(&self.comm);
        let written = self.skel.maps.mailbox.update(&KEY, &status, MapFlags::ANY);
        written.context("write a candidate")
    }

    /// What was read since; none if no program saw an event.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn answer(&self) -> anyhow::Result<Option<Answer>> {
        let status = self.skel.maps.mailbox.lookup(&KEY, MapFlags::ANY);
        let status = status
            .context("read an answer")?
            .context("the candidate is gone")?;
        let word = |at: usize| {
            let bytes = status.get(at..at + 8).and_then(|b| b.try_into().ok());
            bytes.map(u64::from_ne_bytes).context("a short answer")
        };
        let state = status.get(..4).and_then(|b| b.try_into().ok());
        if state.map(u32::from_ne_bytes) != Some(one_state::ONE_CHECKED.0) {
            return Ok(None);
        }
        Ok(Some(Answer {
            offset: word(offset_of!(one_status, offset))?,
            inner: word(offset_of!(one_status, inner))?,
            value: word(offset_of!(one_status, value))?,
            failed: word(offset_of!(one_status, failed))? != 0,
        }))
    }
}

const _: () = assert!(offset_of!(one_status, state) == 0);

fn refused(what: &str, error: libbpf_rs::Error) -> anyhow::Error {
    let failure = match error.kind() {
        ErrorKind::PermissionDenied => Failure::Privilege,
        _ => Failure::Kernel,
    };
    anyhow::Error::new(error).context(failure(what.to_owned()))
}
