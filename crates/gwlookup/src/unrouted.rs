//! Why a record has no route. Each reason has its own count in the summary.

use std::fmt;

use netlink;
use netlink::netns;

/// Why there is no route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unrouted {
    /// No table has one.
    NoRoute,
    /// The record does not tell its network namespace.
    NetnsUntold,
    /// The namespace is no longer there, or nowhere that can be looked at.
    NetnsGone,
    /// The namespace may not be looked for or entered; these privileges are missing.
    NetnsForbidden(String),
    /// A link-local or multicast IPv6 address means nothing without an interface, which records
    /// do not tell.
    Unscoped,
    /// The record has not the addresses that a question needs.
    Unaddressed,
    /// The namespace could not be asked.
    Unreachable(netns::Error),
    /// The kernel could not be asked, or its answer made no sense.
    Failed(netlink::Error),
}

impl Unrouted {
    /// The names of all reasons, by [`index`](Self::index).
    pub const NAMES: [&'static str; 7] = [
        "no route",
        "namespace not told",
        "namespace not found",
        "namespace forbidden",
        "destination needs an interface",
        "no addresses",
        "lookup failed",
    ];

    /// The place of this reason among [`NAMES`](Self::NAMES).
    #[must_use]
    pub fn index(&self) -> usize {
        match self {
            Self::NoRoute => 0,
            Self::NetnsUntold => 1,
            Self::NetnsGone => 2,
            Self::NetnsForbidden(_) => 3,
            Self::Unscoped => 4,
            Self::Unaddressed => 5,
            Self::Unreachable(_) | Self::Failed(_) => 6,
        }
    }

    /// The reason in a few words.
    #[must_use]
    pub fn name(&self) -> &'static str {
        Self::NAMES[self.index()]
    }
}

impl fmt::Display for Unrouted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::NetnsForbidden(privileges) => write!(f, ": {privileges} missing"),
            Self::Unreachable(error) => write!(f, ": {error}"),
            Self::Failed(error) => write!(f, ": {error}"),
            _ => Ok(()),
        }
    }
}
