//! A netlink socket for requests and their answers: acknowledged requests, single answers, dumps,
//! and several requests in one datagram. It joins no group, so only answers arrive on it.

use std::ops::ControlFlow;

use nix::sys::socket::MsgFlags;

use crate::Error;
use crate::Malformed;
use crate::Message;
use crate::Messages;
use crate::Protocol;
use crate::Refusal;
use crate::Request;
use crate::endpoint::Endpoint;
use crate::endpoint::Read;
use crate::refusal;
use crate::request::NLM_F_ACK;

const NLMSG_ERROR: u16 = libc::NLMSG_ERROR as u16;
const NLMSG_DONE: u16 = libc::NLMSG_DONE as u16;
const NLM_F_DUMP_INTR: u16 = libc::NLM_F_DUMP_INTR as u16;
const NLM_F_DUMP: u16 = libc::NLM_F_DUMP as u16;

/// A request socket, for one thread. It stays in the network namespace it was opened in.
#[derive(Debug)]
pub struct Socket {
    endpoint: Endpoint,
    seq: u32,
}

/// How a dump ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an interrupted dump may lack entries"]
pub enum DumpEnd {
    /// The table did not change during the dump.
    Consistent,
    /// `NLM_F_DUMP_INTR`: it changed; entries may be missing or reported twice.
    Interrupted,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// If the kernel has no such protocol, or no file descriptor is left.
    pub fn open(protocol: Protocol) -> Result<Self, Error> {
        let endpoint = Endpoint::open(protocol)?;
        Ok(Self { endpoint, seq: 0 })
    }

    /// Sends a request and waits for the kernel's acknowledgement.
    ///
    /// # Errors
    /// [`Error::Refused`] with the kernel's reason, or another error if the exchange failed.
    pub fn request(&mut self, request: &mut Request) -> Result<(), Error> {
        self.exchange(request, NLM_F_ACK, |message| match message.kind {
            NLMSG_ERROR => acknowledged(message).map(Some),
            _ => Ok(None),
        })
    }

    /// Sends a request and gives the one message that answers it to `take`.
    ///
    /// # Errors
    /// [`Error::Refused`] with the kernel's reason, or another error if the exchange failed.
    pub fn query<T>(
        &mut self,
        request: &mut Request,
        take: impl Fn(&Message<'_>) -> T,
    ) -> Result<T, Error> {
        self.exchange(request, 0, |message| match message.kind {
            NLMSG_ERROR => Err(acknowledged(message).err().unwrap_or(Error::Unanswered)),
            _ => Ok(Some(take(message))),
        })
    }

    /// Sends a dump request and gives every entry to `each`.
    ///
    /// # Errors
    /// [`Error::Refused`] with the kernel's reason, or another error if the exchange failed;
    /// `each` may have seen some of the entries then.
    pub fn dump(
        &mut self,
        request: &mut Request,
        mut each: impl FnMut(&Message<'_>),
    ) -> Result<DumpEnd, Error> {
        let dumped = self.dump_while(request, |message| {
            each(message);
            ControlFlow::Continue(())
        });
        Ok(dumped?.unwrap_or(DumpEnd::Interrupted))
    }

    /// Sends a dump request and gives entries to `each` until it wants no more. Then the rest of the dump remains
    /// in the socket, which can do no other: drop it. Returns how the dump ended, if it did.
    ///
    /// # Errors
    /// Those of [`dump`](Self::dump).
    pub fn dump_while(
        &mut self,
        request: &mut Request,
        mut each: impl FnMut(&Message<'_>) -> ControlFlow<()>,
    ) -> Result<Option<DumpEnd>, Error> {
        let mut end = DumpEnd::Consistent;
        self.exchange(request, NLM_F_DUMP, |message| {
            if message.flags & NLM_F_DUMP_INTR != 0 {
                end = DumpEnd::Interrupted;
            }
            match message.kind {
                NLMSG_DONE => return acknowledged(message).map(|()| Some(Some(end))),
                NLMSG_ERROR => acknowledged(message)?,
                _ if each(message).is_break() => return Ok(Some(None)),
                _ => {}
            }
            Ok(None)
        })
    }

    /// Sends several requests as one datagram, which is what nfnetlink calls a batch, and returns
    /// those that the kernel refused, by their index and in the order of the kernel's answers.
    ///
    /// Waits for an answer to each request that has `NLM_F_ACK`. When the kernel refuses one that
    /// has not, such as a batch's opening message, it may not have read the others: that ends the
    /// wait.
    ///
    /// # Errors
    /// If the exchange itself failed.
    pub fn transact(&mut self, requests: &mut [Request]) -> Result<Vec<(usize, Refusal)>, Error> {
        let first = self.seq.wrapping_add(1);
        let mut datagram = Vec::new();
        for request in &mut *requests {
            self.seq = self.seq.wrapping_add(1);
            datagram.extend_from_slice(sealed(request, self.seq, 0)?);
        }
        self.endpoint.send(&datagram)?;
        let acked = requests.iter().filter(|request| request.wants_ack());
        let mut unanswered = acked.count();
        let mut refused = Vec::new();
        if unanswered == 0 {
            return Ok(refused);
        }
        self.receive(|message| {
            let index = message.seq.wrapping_sub(first) as usize;
            let Some(request) = requests.get(index) else {
                return Ok(None);
            };
            if message.kind != NLMSG_ERROR {
                return Ok(None);
            }
            refused.extend(refusal::read(message)?.map(|refusal| (index, refusal)));
            unanswered = unanswered.saturating_sub(request.wants_ack().into());
            Ok((unanswered == 0 || !request.wants_ack()).then_some(()))
        })?;
        Ok(refused)
    }

    /// Sends a request, and gives the messages that answer it to `each` until it returns an end.
    fn exchange<T>(
        &mut self,
        request: &mut Request,
        flags: u16,
        mut each: impl FnMut(&Message<'_>) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        self.seq = self.seq.wrapping_add(1);
        let seq = self.seq;
        self.endpoint.send(sealed(request, seq, flags)?)?;
        self.receive(|message| {
            if message.seq == seq {
                each(message)
            } else {
                Ok(None)
            }
        })
    }

    fn receive<T>(
        &mut self,
        mut each: impl FnMut(&Message<'_>) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        loop {
            let bytes = match self.endpoint.read(MsgFlags::empty())? {
                Read::Datagram(bytes) => bytes,
                Read::Nothing => return Err(Error::Unanswered),
                Read::Overrun => return Err(Error::Overrun),
                Read::Cut(bytes) => return Err(Error::Truncated { bytes }),
            };
            for message in Messages::new(&self.endpoint.buffer[..bytes]) {
                if let Some(end) = each(&message?)? {
                    return Ok(end);
                }
            }
        }
    }
}

fn sealed(request: &mut Request, seq: u32, flags: u16) -> Result<&[u8], Error> {
    let message = request.seal(seq, flags);
    Ok(message.ok_or(Malformed("the request is too long"))?)
}

fn acknowledged(message: &Message<'_>) -> Result<(), Error> {
    match refusal::read(message)? {
        None => Ok(()),
        Some(refusal) => Err(Error::Refused(refusal)),
    }
}
