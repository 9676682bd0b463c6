//! Netfilter's hooks in the path of a packet, which both back ends attach to.

/// Where a chain is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Hook {
    /// Received, not yet routed.
    Prerouting = libc::NF_INET_PRE_ROUTING as u32,
    /// For this host.
    Input = libc::NF_INET_LOCAL_IN as u32,
    /// For another host.
    Forward = libc::NF_INET_FORWARD as u32,
    /// From this host.
    Output = libc::NF_INET_LOCAL_OUT as u32,
    /// Routed, about to be transmitted.
    Postrouting = libc::NF_INET_POST_ROUTING as u32,
}
