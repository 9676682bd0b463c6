//! Every entry of the kernel's table, in one namespace, both families.

use std::ops::ControlFlow;

use anyhow::Context as _;
use netlink::DumpEnd;
use netlink::Error;
use netlink::Protocol;
use netlink::Request;
use netlink::Socket;
use netlink::ctnetlink::GET;
use netlink::netns;
use netlink::netns::Namespace;
use netlink::nfnetlink::nfgenmsg;
use shared::clock::monotonic_ns;
use shared::record::wire::Record;
use shared::record::wire::kind;

use super::deadline::Deadline;
use super::parse::parse;
use super::scope::Scope;

/// How often a dump is repeated that changed under the reader.
const ATTEMPTS: usize = 3;
/// The clock is read once for so many entries.
const ENTRIES_PER_LOOK: u32 = 64;

/// A socket for dumps.
pub struct Dumper {
    socket: Socket,
    scope: Scope,
    /// Until then.
    pub deadline: Deadline,
    /// Entries that could not be parsed.
    pub malformed: u64,
}

impl Dumper {
    /// Opens a socket in the calling thread's namespace, which is that of the scope.
    ///
    /// # Errors
    /// If the kernel has no such family.
    pub fn open(scope: Scope) -> Result<Self, Error> {
        Ok(Self {
            socket: Socket::open(Protocol::Netfilter)?,
            scope,
            deadline: Deadline::default(),
            malformed: 0,
        })
    }

    /// Opens a socket in another namespace than that of the scope.
    ///
    /// # Errors
    /// If it cannot be entered, or the kernel has no such family.
    pub fn within(namespace: &Namespace, scope: Scope) -> Result<Self, netns::Error> {
        Ok(Self {
            socket: namespace.socket(Protocol::Netfilter)?,
            scope: scope.of(namespace),
            deadline: Deadline::default(),
            malformed: 0,
        })
    }

    /// Opens another socket in the place of that which a dump has left unfinished, in the calling thread's
    /// namespace.
    ///
    /// # Errors
    /// If no file descriptor is left.
    pub fn reopen(&mut self) -> Result<(), Error> {
        self.socket = Socket::open(Protocol::Netfilter)?;
        Ok(())
    }

    /// Gives each entry within the scope to `each` as a record of type `DUMP`; some may come twice.
    /// Returns whether the last of a few attempts saw a table that did not change.
    ///
    /// # Errors
    /// If the kernel refuses, the exchange fails, or the deadline is over; then the socket is of no use any more.
    pub fn dump(&mut self, mut each: impl FnMut(Record)) -> anyhow::Result<DumpEnd> {
        let now_ns = monotonic_ns().context("read the clock")?;
        let mut end = DumpEnd::Interrupted;
        let mut entries = 0_u32;
        for _ in 0..ATTEMPTS {
            self.deadline.check()?;
            let mut request = Request::new(GET, 0, &nfgenmsg(libc::AF_UNSPEC as u8, 0));
            let dumped = self.socket.dump_while(&mut request, |message| {
                match parse(message) {
                    Ok(record) => {
                        if let Some(record) = record.and_then(|it| self.scope.complete(it, now_ns))
                        {
                            each(Record {
                                r#type: kind::DUMP,
                                ..record
                            });
                        }
                    }
                    Err(malformed) => {
                        log::debug!("{malformed}");
                        self.malformed += 1;
                    }
                }
                entries = entries.wrapping_add(1);
                if entries % ENTRIES_PER_LOOK == 0 && self.deadline.is_over() {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            match dumped.context("dump the kernel's connections")? {
                Some(ended) => end = ended,
                None => self.deadline.check()?,
            }
            if end == DumpEnd::Consistent {
                break;
            }
        }
        Ok(end)
    }
}
