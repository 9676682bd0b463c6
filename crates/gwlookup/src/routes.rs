//! Routes of any namespace: the one place that records are given theirs by. Opens a socket in
//! each namespace and keeps it a while. A model of the routing in memory will stand before the
//! kernel here, and no caller will notice.

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

/// A socket keeps its namespace alive, with its interfaces, when all its processes are gone. So
/// it is closed after this time, however much it is used, and the namespace looked for again.
const SOCKET_LIFE: Duration = Duration::from_secs(2);
/// How long a namespace that could not be found or entered is not tried again.
const REFUSAL_LIFE: Duration = Duration::from_secs(1);
/// Namespaces kept at once; each costs a descriptor and a buffer.
const NAMESPACES_KEPT: usize = 256;

/// The routing of this machine, namespace by namespace.
pub struct Routes {
    own: u32,
    own_fib: Fib,
    others: HashMap<u32, Visited>,
    warned: bool,
}

/// Another namespace, and until when this is believed.
struct Visited {
    until: Instant,
    fib: Result<Fib, Unrouted>,
}

impl Routes {
    /// Opens a socket in the namespace of this process.
    ///
    /// # Errors
    /// If that cannot be done, or `/proc` is not mounted.
    pub fn open() -> anyhow::Result<Self> {
        let own = Namespace::current().context("find out this network namespace")?;
        let socket = Socket::open(Protocol::Route).context("open a route socket")?;
        Ok(Self {
            own: own.inum(),
            own_fib: Fib::new(socket),
            others: HashMap::new(),
            warned: false,
        })
    }

    /// The route that the kernel would choose now, in the namespace with this inode number.
    ///
    /// # Errors
    /// Why there is none. A namespace that may not be entered is also warned of, once.
    pub fn lookup(&mut self, netns: u32, query: Query) -> Result<Route, Unrouted> {
        if netns == self.own {
            return self.own_fib.lookup(query);
        }
        let now = Instant::now();
        if self
            .others
            .get(&netns)
            .is_none_or(|visited| visited.until <= now)
        {
            self.visit(netns, now);
        }
        let Some(visited) = self.others.get_mut(&netns) else {
            return Err(Unrouted::NetnsGone);
        };
        let found = match &mut visited.fib {
            Ok(fib) => fib.lookup(query),
            Err(why) => return Err(why.clone()),
        };
        if matches!(found, Err(Unrouted::Failed(_))) {
            // The next record starts with a fresh socket.
            self.others.remove(&netns);
        }
        found
    }

    /// Closes the sockets whose time is over. To be called often, also when no records come.
    pub fn let_go(&mut self) {
        let now = Instant::now();
        self.others.retain(|_, visited| visited.until > now);
    }

    fn visit(&mut self, netns: u32, now: Instant) {
        // Not kept open while it is looked for again, or it would always be found.
        self.others.remove(&netns);
        let fib = enter(netns).map(Fib::new);
        if let Err(Unrouted::NetnsForbidden(privileges)) = &fib {
            if !self.warned {
                self.warned = true;
                log::warn!("no routes of other network namespaces: {privileges} missing");
            }
        }
        if self.others.len() >= NAMESPACES_KEPT {
            let oldest = self.others.iter().min_by_key(|(_, visited)| visited.until);
            if let Some(oldest) = oldest.map(|(netns, _)| *netns) {
                self.others.remove(&oldest);
            }
        }
        let life = match fib {
            Ok(_) => SOCKET_LIFE,
            Err(_) => REFUSAL_LIFE,
        };
        let until = now + life;
        self.others.insert(netns, Visited { until, fib });
    }
}

fn enter(netns: u32) -> Result<Socket, Unrouted> {
    netns::find(netns)
        .and_then(|namespace| namespace.socket(Protocol::Route))
        .map_err(|error| match (access::missing(&error), error) {
            (Some(privileges), _) => Unrouted::NetnsForbidden(privileges),
            (None, netns::Error::NotFound { .. } | netns::Error::Hidden { .. }) => {
                Unrouted::NetnsGone
            }
            (None, error) => Unrouted::Unreachable(error),
        })
}
