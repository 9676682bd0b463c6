//! The one request of the interface that is needed: replace an empty table.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;

use nix::setsockopt_impl;
use nix::sockopt_impl;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::SetSockOpt as _;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::socket;
use nix::sys::socket::sockopt::SetOsString;

use super::table::Rule;
use super::table::Table;
use super::table::replacement;

/// `IPT_BASE_CTL`.
const IPT_SO_SET_REPLACE: i32 = 64;

sockopt_impl!(
    /// Replaces a table; the value is the bytes of `struct ipt_replace`.
    ReplaceTable,
    SetOnly,
    libc::IPPROTO_IP,
    IPT_SO_SET_REPLACE,
    OsString,
    SetOsString<'_>
);

/// The tables of the network namespace that a thread was in when it opened this.
pub(super) struct Tables {
    // The kernel looks only at the socket's family and namespace, so it need not be a raw socket,
    // which would need CAP_NET_RAW.
    socket: OwnedFd,
}

impl Tables {
    pub(super) fn open() -> nix::Result<Self> {
        Ok(Self {
            socket: socket(
                AddressFamily::Inet,
                SockType::Datagram,
                SockFlag::SOCK_CLOEXEC,
                None,
            )?,
        })
    }

    /// Fills a table with these rules. One that has rules already is left alone (`EAGAIN`).
    pub(super) fn replace(&self, table: Table, rules: &[Rule]) -> nix::Result<()> {
        // The kernel writes packets and bytes of each former entry here. The memory must be writable,
        // else the kernel logs a warning.
        let mut counters = vec![[0_u64; 2]; table.initial_entries()];
        let address = counters.as_mut_ptr().expose_provenance();
        let bytes = replacement(table, rules, address);
        ReplaceTable.set(&self.socket, &OsString::from_vec(bytes))
    }
}
