//! Why a record has no route. Each reason has its own count in the summary.

use std::fmt;

use netlink::netns;

/// Why there is no route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unrouted {
    /// No table has one.
    NoRoute,
    /// The record does not name its network namespace.
    NetnsUnknown,
    /// The namespace no longer exists, or is hidden from this process.
    NetnsNotFound,
    /// The namespace may not be searched for or entered; these privileges are missing.
    NetnsForbidden(String),
    /// A link-local or multicast IPv6 address is ambiguous without an interface, which records lack.
    Unscoped,
    /// The record lacks the addresses that a lookup needs.
    Unaddressed,
    /// The kernel could not be asked, or its answer made no sense.
    Failed(netns::Error),
}

impl Unrouted {
    /// The reason in a few words.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoRoute => "no route",
            Self::NetnsUnknown => "namespace unknown",
            Self::NetnsNotFound => "namespace not found",
            Self::NetnsForbidden(_) => "namespace forbidden",
            Self::Unscoped => "destination needs an interface",
            Self::Unaddressed => "no addresses",
            Self::Failed(_) => "lookup failed",
        }
    }
}

impl fmt::Display for Unrouted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::NetnsForbidden(privileges) => write!(f, ": {privileges} missing"),
            Self::Failed(error) => write!(f, ": {error}"),
            _ => Ok(()),
        }
    }
}
