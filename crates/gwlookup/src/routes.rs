//! Routes of any namespace: the one place that looks up the routes of records. Opens a socket in each
//! namespace and keeps it for a while.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use netlink::Protocol;
use netlink::Socket;
use netlink::netns;
use netlink::netns::Namespace;

use crate::access;
use crate::fib::Fib;
use crate::query::Query;
use crate::route::Route;
use crate::unrouted::Unrouted;

/// A socket keeps its namespace and the interfaces alive when all processes are gone. So it is
/// closed after this time, however much it is used, and the namespace searched for again.
const SOCKET_LIFETIME: Duration = Duration::from_secs(2);
/// How long a namespace that could not be found or entered is not tried again.
const FAILURE_LIFETIME: Duration = Duration::from_secs(1);
/// Size of the cache of namespaces; each entry costs a descriptor and a buffer.
const NAMESPACES_KEPT: usize = 256;

/// The routing of this machine, namespace by namespace.
pub struct Routes {
    own: u32,
    own_fib: Fib,
    others: HashMap<u32, Cached>,
    warned: bool,
}

/// Another namespace, and when its entry expires.
struct Cached {
    until: Instant,
    fib: Result<Fib, Unrouted>,
}

/// The namespace of this process: its inode number and its routes.
///
/// # Errors
/// If no socket can be opened, or `/proc` is not mounted.
pub fn own() -> anyhow::Result<(u32, Fib)> {
    let namespace = Namespace::current().context("find this network namespace")?;
    let socket = Socket::open(Protocol::Route).context("open a route socket")?;
    Ok((namespace.inum(), Fib::new(socket)))
}

impl Routes {
    /// Opens a socket in the namespace of this process.
    ///
    /// # Errors
    /// As [`own`].
    pub fn open() -> anyhow::Result<Self> {
        let (own, own_fib) = own()?;
        Ok(Self {
            own,
            own_fib,
            others: HashMap::new(),
            warned: false,
        })
    }

    /// The route that the kernel would choose now, in the namespace with this inode number.
    ///
    /// # Errors
    /// The reason why there is none. The first namespace that may not be entered also logs a warning.
    pub fn lookup(&mut self, netns: u32, query: Query) -> Result<Route, Unrouted> {
        if netns == self.own {
            return self.own_fib.lookup(query);
        }
        let now = Instant::now();
        if self
            .others
            .get(&netns)
            .is_none_or(|cached| cached.until <= now)
        {
            // The old socket is closed first, or its namespace would always be found.
            self.others.remove(&netns);
            self.enter(netns, now);
        }
        let fib = self.others.get_mut(&netns).map(|cached| &mut cached.fib);
        let found = match fib {
            Some(Ok(fib)) => fib.lookup(query),
            Some(Err(why)) => return Err(why.clone()),
            None => return Err(Unrouted::NetnsNotFound),
        };
        if matches!(found, Err(Unrouted::Failed(_))) {
            // The next record starts with a fresh socket.
            self.others.remove(&netns);
        }
        found
    }

    /// Closes the sockets that have expired. To be called often, also when no records come.
    pub fn expire(&mut self) {
        let now = Instant::now();
        self.others.retain(|_, cached| cached.until > now);
    }

    fn enter(&mut self, netns: u32, now: Instant) {
        let fib = enter(netns).map(Fib::new);
        if let Err(Unrouted::NetnsForbidden(privileges)) = &fib {
            if !self.warned {
                self.warned = true;
                log::warn!(
                    "cannot look up routes in other network namespaces: {privileges} missing"
                );
            }
        }
        if self.others.len() >= NAMESPACES_KEPT {
            let oldest = self.others.iter().min_by_key(|(_, cached)| cached.until);
            if let Some(oldest) = oldest.map(|(netns, _)| *netns) {
                self.others.remove(&oldest);
            }
        }
        let lifetime = match fib {
            Ok(_) => SOCKET_LIFETIME,
            Err(_) => FAILURE_LIFETIME,
        };
        let until = now + lifetime;
        self.others.insert(netns, Cached { until, fib });
    }
}

fn enter(netns: u32) -> Result<Socket, Unrouted> {
    netns::find(netns)
        .and_then(|namespace| namespace.socket(Protocol::Route))
        .map_err(|error| match (access::missing(&error), error) {
            (Some(privileges), _) => Unrouted::NetnsForbidden(privileges),
            (None, netns::Error::NotFound { .. } | netns::Error::Hidden { .. }) => {
                Unrouted::NetnsNotFound
            }
            (None, error) => Unrouted::Failed(error),
        })
}
