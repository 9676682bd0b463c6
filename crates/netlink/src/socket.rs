//! A netlink socket that asks and is answered: acknowledged requests, single answers, dumps, and
//! several requests in one datagram. It joins no group, so nothing but answers arrives on it.

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

const NLMSG_ERROR: u16 = 0x2;
const NLMSG_DONE: u16 = 0x3;
const NLM_F_DUMP_INTR: u16 = 0x10;
/// `NLM_F_ROOT | NLM_F_MATCH`.
const NLM_F_DUMP: u16 = 0x300;
/// The kernel queues an answer before `send` returns, so waiting is for what nobody expects.
const PATIENCE_MS: u16 = 1_000;

/// A request socket, for one thread. It stays in the network namespace it was opened in.
#[derive(Debug)]
pub struct Socket {
    endpoint: Endpoint,
    seq: u32,
    outgoing: Vec<u8>,
}

/// How a dump ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an interrupted dump may lack entries"]
pub enum DumpEnd {
    /// What was dumped did not change meanwhile.
    Consistent,
    /// `NLM_F_DUMP_INTR`: it changed, and entries may be missing or told twice.
    Interrupted,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// If the kernel has no such protocol, or no file descriptor is left.
    pub fn open(protocol: Protocol) -> Result<Self, Error> {
        Ok(Self {
            endpoint: Endpoint::open(protocol)?,
            seq: 0,
            outgoing: Vec::new(),
        })
    }

    /// Sends a request and waits for the kernel's acknowledgement.
    ///
    /// # Errors
    /// [`Error::Refused`] with the kernel's reason, or another error if the exchange failed.
    pub fn request(&mut self, request: &mut Request) -> Result<(), Error> {
        let seq = self.send(request, NLM_F_ACK)?;
        loop {
            let bytes = self.read()?;
            for message in Messages::new(&self.endpoint.buffer[..bytes]) {
                let message = message?;
                if message.seq == seq && message.kind == NLMSG_ERROR {
                    return acknowledged(&message);
                }
            }
        }
    }

    /// Sends a request and gives the one message that answers it to `take`.
    ///
    /// # Errors
    /// [`Error::Refused`] with the kernel's reason, or another error if the exchange failed.
    pub fn query<T>(
        &mut self,
        request: &mut Request,
        take: impl FnOnce(&Message<'_>) -> T,
    ) -> Result<T, Error> {
        let seq = self.send(request, 0)?;
        loop {
            let bytes = self.read()?;
            for message in Messages::new(&self.endpoint.buffer[..bytes]) {
                let message = message?;
                if message.seq != seq {
                    continue;
                }
                if message.kind == NLMSG_ERROR {
                    acknowledged(&message)?;
                    return Err(Error::Unanswered);
                }
                return Ok(take(&message));
            }
        }
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
        let seq = self.send(request, NLM_F_DUMP)?;
        let mut end = DumpEnd::Consistent;
        loop {
            let bytes = self.read_whole()?;
            for message in Messages::new(&self.endpoint.buffer[..bytes]) {
                let message = message?;
                if message.seq != seq {
                    continue;
                }
                if message.flags & NLM_F_DUMP_INTR != 0 {
                    end = DumpEnd::Interrupted;
                }
                match message.kind {
                    NLMSG_DONE => {
                        return match refusal::read_done(&message)? {
                            None => Ok(end),
                            Some(refusal) => Err(Error::Refused(refusal)),
                        };
                    }
                    NLMSG_ERROR => acknowledged(&message)?,
                    _ => each(&message),
                }
            }
        }
    }

    /// Sends several requests as one datagram, as nfnetlink batches need it, and returns those
    /// that the kernel refused, by their index and in the order of the kernel's answers.
    ///
    /// Waits for an answer to each request that has `NLM_F_ACK`. A refusal of one that has not,
    /// as of a batch's opening message, ends the wait: the kernel need not have read the others.
    ///
    /// # Errors
    /// If the exchange itself failed.
    pub fn transact(&mut self, requests: &mut [Request]) -> Result<Vec<(usize, Refusal)>, Error> {
        let first = self.seq.wrapping_add(1);
        self.outgoing.clear();
        for request in &mut *requests {
            self.seq = self.seq.wrapping_add(1);
            self.outgoing
                .extend_from_slice(sealed(request, self.seq, 0)?);
        }
        self.endpoint.send(&self.outgoing)?;
        let mut unanswered = requests
            .iter()
            .filter(|request| request.wants_ack())
            .count();
        let mut refused = Vec::new();
        while unanswered > 0 {
            let bytes = self.read()?;
            for message in Messages::new(&self.endpoint.buffer[..bytes]) {
                let message = message?;
                let index = message.seq.wrapping_sub(first) as usize;
                let Some(request) = requests.get(index) else {
                    continue;
                };
                if message.kind != NLMSG_ERROR {
                    continue;
                }
                refused.extend(refusal::read(&message)?.map(|refusal| (index, refusal)));
                if !request.wants_ack() {
                    return Ok(refused);
                }
                unanswered = unanswered.saturating_sub(1);
            }
        }
        Ok(refused)
    }

    fn send(&mut self, request: &mut Request, flags: u16) -> Result<u32, Error> {
        self.seq = self.seq.wrapping_add(1);
        self.endpoint.send(sealed(request, self.seq, flags)?)?;
        Ok(self.seq)
    }

    fn read(&mut self) -> Result<usize, Error> {
        let read = self.endpoint.read()?;
        self.insist(read, Endpoint::read)
    }

    fn read_whole(&mut self) -> Result<usize, Error> {
        let read = self.endpoint.read_whole()?;
        self.insist(read, Endpoint::read_whole)
    }

    /// The length of a datagram, waiting once if none is there yet.
    fn insist(
        &mut self,
        read: Read,
        again: fn(&mut Endpoint) -> Result<Read, Error>,
    ) -> Result<usize, Error> {
        let read = match read {
            Read::Nothing if self.endpoint.wait(PATIENCE_MS)? => again(&mut self.endpoint)?,
            read => read,
        };
        match read {
            Read::Datagram(bytes) => Ok(bytes),
            Read::Nothing => Err(Error::Unanswered),
            Read::Overrun => Err(Error::Overrun),
            Read::Cut(bytes) => Err(Error::Truncated { bytes }),
        }
    }
}

fn sealed(request: &mut Request, seq: u32, flags: u16) -> Result<&[u8], Error> {
    request
        .seal(seq, flags)
        .ok_or(Error::Malformed(Malformed("the request is too long")))
}

fn acknowledged(message: &Message<'_>) -> Result<(), Error> {
    match refusal::read(message)? {
        None => Ok(()),
        Some(refusal) => Err(Error::Refused(refusal)),
    }
}
