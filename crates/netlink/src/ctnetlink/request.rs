//! Requests for one entry, named by its tuple. The entry is in the network namespace of the
//! socket, a netfilter socket.

use nix::errno::Errno;

use crate::Error;
use crate::Request;
use crate::Socket;

use super::DELETE;
use super::Entry;
use super::GET;
use super::NEW;
use super::Tuple;
use super::cta;

/// What an entry shall have; what is not named stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Bits of [`status`](super::status) to be set.
    pub set_status: u32,
    /// The mark; ignored by a kernel whose connections have none.
    pub mark: Option<u32>,
    /// How long it will live, from now on.
    pub timeout_s: Option<u32>,
}

impl Change {
    fn write(&self, status: Option<u32>, request: &mut Request) {
        let attrs = request.attrs();
        if let Some(timeout_s) = self.timeout_s {
            attrs.put_u32_be(cta::TIMEOUT, timeout_s);
        }
        if let Some(status) = status {
            attrs.put_u32_be(cta::STATUS, status);
        }
        if let Some(mark) = self.mark {
            attrs.put_u32_be(cta::MARK, mark);
        }
    }
}

/// The entry whose original direction this is; none if there is none.
///
/// # Errors
/// If the kernel has no such family (`EINVAL`), or a privilege is missing (`EPERM`).
pub fn find(socket: &mut Socket, original: &Tuple) -> Result<Option<Entry>, Error> {
    match socket.query(&mut request(GET, 0, original), Entry::parse) {
        Ok(entry) => Ok(Some(entry?)),
        Err(Error::Refused(refusal)) if refusal.errno == Errno::ENOENT => Ok(None),
        Err(error) => Err(error),
    }
}

/// Changes the entry whose original direction this is.
///
/// # Errors
/// `ENOENT` if there is none, `EBUSY` if the kernel lets nobody change such a bit, `EPERM` for a
/// timeout that is fixed already.
pub fn change(socket: &mut Socket, original: &Tuple, change: &Change) -> Result<(), Error> {
    let mut status = None;
    if change.set_status != 0 {
        // The kernel takes the whole word and refuses one that lacks a bit of the entry's.
        let entry = find(socket, original)?.unwrap_or_default();
        status = Some(entry.status.unwrap_or(0) | change.set_status);
    }
    let mut request = request(NEW, 0, original);
    change.write(status, &mut request);
    socket.request(&mut request)
}

/// Deletes the entry whose original direction this is.
///
/// # Errors
/// `ENOENT` if there is none.
pub fn delete(socket: &mut Socket, original: &Tuple) -> Result<(), Error> {
    socket.request(&mut request(DELETE, 0, original))
}

fn request(kind: u16, flags: u16, original: &Tuple) -> Request {
    // `struct nfgenmsg`: family, version and resource.
    let mut request = Request::new(kind, flags, &[original.family(), 0, 0, 0]);
    original.write(cta::TUPLE_ORIG, request.attrs());
    request
}
