//! Every entry of the kernel's table, in one namespace, both families.

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

use super::parse::parse;
use super::scope::Scope;

/// How often a dump is repeated that changed under the reader.
const ATTEMPTS: usize = 3;

/// A socket for dumps.
pub struct Dumper {
    socket: Socket,
    scope: Scope,
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
            malformed: 0,
        })
    }

    /// Gives each entry within the scope to `each` as a record of type `DUMP`; some may come twice.
    /// Returns whether the last of a few attempts saw a table that did not change.
    ///
    /// # Errors
    /// If the kernel refuses, or the exchange fails.
    pub fn dump(&mut self, mut each: impl FnMut(Record)) -> anyhow::Result<DumpEnd> {
        let now_ns = monotonic_ns().context("read the clock")?;
        let mut end = DumpEnd::Interrupted;
        for _ in 0..ATTEMPTS {
            let mut request = Request::new(GET, 0, &nfgenmsg(libc::AF_UNSPEC as u8, 0));
            let dumped = self
                .socket
                .dump(&mut request, |message| match parse(message) {
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
                });
            end = dumped.context("dump the kernel's connections")?;
            if end == DumpEnd::Consistent {
                break;
            }
        }
        Ok(end)
    }
}
