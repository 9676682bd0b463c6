//! Conntrack's multicast groups: the events of one namespace, and how often the kernel dropped some.

use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use anyhow::Context as _;
use netlink::Error;
use netlink::Listener;
use netlink::Protocol;
use netlink::Received;
use shared::record::wire::Record;

use super::parse::parse;

/// Half a second of the highest rate that a kernel delivers, at 148 bytes an event and the
/// kernel's own bookkeeping.
const RECEIVE_BUFFER_BYTES: usize = 32 << 20;

/// A subscription to groups.
pub struct Subscription {
    listener: Listener,
    /// Messages that could not be parsed.
    pub malformed: u64,
    /// How often the kernel dropped events.
    pub overruns: u64,
}

impl Subscription {
    /// Joins these groups in the calling thread's namespace.
    ///
    /// # Errors
    /// If the kernel has no conntrack events, or a privilege is missing.
    pub fn join(groups: &[u32]) -> Result<Self, Error> {
        let listener = Listener::open(Protocol::Netfilter)?;
        let granted = listener.set_receive_buffer(RECEIVE_BUFFER_BYTES)?;
        log::debug!("netlink receive buffer: {granted} bytes");
        for group in groups {
            listener.join(*group)?;
        }
        Ok(Self {
            listener,
            malformed: 0,
            overruns: 0,
        })
    }

    /// Gives what has arrived to `each`, about `most` records, and returns how many.
    ///
    /// # Errors
    /// If the socket fails, or `each` does.
    pub fn take(
        &mut self,
        most: usize,
        mut each: impl FnMut(Record) -> anyhow::Result<()>,
    ) -> anyhow::Result<usize> {
        let mut taken = 0;
        while taken < most {
            match self.listener.receive().context("read conntrack events")? {
                Received::Nothing => break,
                Received::Lost => self.overruns += 1,
                Received::Messages(messages) => {
                    for message in messages {
                        match message.and_then(|message| parse(&message)) {
                            Ok(record) => {
                                taken += usize::from(record.is_some());
                                record.map_or(Ok(()), &mut each)?;
                            }
                            Err(malformed) => {
                                log::debug!("{malformed}");
                                self.malformed += 1;
                            }
                        }
                    }
                }
            }
        }
        Ok(taken)
    }
}

impl AsFd for Subscription {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
