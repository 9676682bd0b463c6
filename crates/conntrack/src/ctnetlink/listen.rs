//! Conntrack's multicast groups: records of what comes and goes in one namespace, and of what the
//! kernel had to drop.

use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use netlink::Error;
use netlink::Listener;
use netlink::Protocol;
use netlink::Received;
use shared::record::wire::Record;

use super::parse;

pub use netlink::nfnetlink::NFNLGRP_CONNTRACK_DESTROY as GROUP_DESTROY;
pub use netlink::nfnetlink::NFNLGRP_CONNTRACK_NEW as GROUP_NEW;

/// Half a second of the highest rate that a kernel delivers, at 148 bytes an event and the
/// kernel's own bookkeeping.
const RECEIVE_BUFFER_BYTES: usize = 32 << 20;

/// A subscription.
pub struct Events {
    listener: Listener,
    /// Messages that could not be parsed.
    pub malformed: u64,
    /// Times that the kernel dropped something.
    pub overruns: u64,
}

impl Events {
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

    /// Appends what has arrived, up to `most` records; `true` if events were lost since the last
    /// time.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn take(&mut self, batch: &mut Vec<Record>, most: usize) -> Result<bool, Error> {
        let mut lost = false;
        while batch.len() < most {
            match self.listener.receive()? {
                Received::Nothing => break,
                Received::Lost => {
                    self.overruns += 1;
                    lost = true;
                }
                Received::Messages(messages) => {
                    for message in messages {
                        match message.and_then(|message| parse(&message)) {
                            Ok(Some(record)) => batch.push(record),
                            Ok(None) => {}
                            Err(malformed) => {
                                log::debug!("{malformed}");
                                self.malformed += 1;
                            }
                        }
                    }
                }
            }
        }
        Ok(lost)
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
