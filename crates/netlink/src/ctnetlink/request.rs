//! Requests for one entry, named by its tuple, in the network namespace of the netfilter socket
//! that sends them.

use nix::errno::Errno;

use crate::Error;
use crate::NLM_F_CREATE;
use crate::NLM_F_EXCL;
use crate::Request;
use crate::Socket;
use crate::nfnetlink::nfgenmsg;

use super::entry::Entry;
use super::tuple::Tuple;
use super::uapi;
use super::uapi::cta;

/// What to change in an entry; the rest stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Bits of [`status`](super::status) to set.
    pub set_status: u32,
    /// The new mark; a kernel whose connections have none ignores it.
    pub mark: Option<u32>,
    /// Seconds from now until it expires.
    pub timeout_s: Option<u32>,
}

/// The entry with this original tuple; `None` if there is none.
///
/// # Errors
/// If the kernel has no such family (`EINVAL`), or a privilege is missing (`EPERM`).
pub fn find(socket: &mut Socket, original: &Tuple) -> Result<Option<Entry>, Error> {
    match socket.query(&mut request(uapi::GET, original), Entry::parse) {
        Ok(entry) => Ok(Some(entry?)),
        Err(Error::Refused(refusal)) if refusal.errno == Errno::ENOENT => Ok(None),
        Err(error) => Err(error),
    }
}

/// Changes the entry with this original tuple.
///
/// # Errors
/// `ENOENT` if there is none, `EBUSY` if requests cannot set one of the bits, `EPERM` for a
/// timeout that is fixed already.
pub fn change(socket: &mut Socket, original: &Tuple, change: &Change) -> Result<(), Error> {
    let mut status = None;
    if change.set_status != 0 {
        // The kernel takes the whole word and refuses one that lacks a bit of the entry's.
        let entry = find(socket, original)?.unwrap_or_default();
        status = Some(entry.status.unwrap_or(0) | change.set_status);
    }
    let mut request = request(uapi::NEW, original);
    for (kind, value) in [
        (cta::TIMEOUT, change.timeout_s),
        (cta::STATUS, status),
        (cta::MARK, change.mark),
    ] {
        if let Some(value) = value {
            request.attrs().put_u32_be(kind, value);
        }
    }
    socket.request(&mut request)
}

/// Adds an entry with these tuples, confirmed, that expires after so many seconds.
///
/// # Errors
/// `EEXIST` if one of the tuples is taken.
pub fn insert(
    socket: &mut Socket,
    original: &Tuple,
    reply: &Tuple,
    timeout_s: u32,
) -> Result<(), Error> {
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    let mut request = Request::new(uapi::NEW, flags, &nfgenmsg(original.family(), 0));
    original.write(cta::TUPLE_ORIG, request.attrs());
    reply.write(cta::TUPLE_REPLY, request.attrs());
    request.attrs().put_u32_be(cta::TIMEOUT, timeout_s);
    socket.request(&mut request)
}

/// Deletes the entry with this original tuple.
///
/// # Errors
/// `ENOENT` if there is none.
pub fn delete(socket: &mut Socket, original: &Tuple) -> Result<(), Error> {
    socket.request(&mut request(uapi::DELETE, original))
}

fn request(kind: u16, original: &Tuple) -> Request {
    let mut request = Request::new(kind, 0, &nfgenmsg(original.family(), 0));
    original.write(cta::TUPLE_ORIG, request.attrs());
    request
}
