//! Socket options that nix does not name, by its own macros.

use std::ffi::OsString;

use nix::sys::socket::sockopt::GetStruct;
use nix::sys::socket::sockopt::SetBool;
use nix::sys::socket::sockopt::SetOsString;

nix::setsockopt_impl!(
    IpOptions,
    libc::IPPROTO_IP,
    libc::IP_OPTIONS,
    OsString,
    SetOsString<'_>
);
nix::setsockopt_impl!(NoCheck, libc::SOL_SOCKET, libc::SO_NO_CHECK, bool, SetBool);
nix::setsockopt_impl!(
    QuickAck,
    libc::IPPROTO_TCP,
    libc::TCP_QUICKACK,
    bool,
    SetBool
);
nix::setsockopt_impl!(
    Ipv6Freebind,
    libc::IPPROTO_IPV6,
    libc::IPV6_FREEBIND,
    bool,
    SetBool
);
nix::getsockopt_impl!(
    TcpInfo,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    libc::tcp_info,
    GetStruct<libc::tcp_info>
);

/// The IP options of every packet to come.
#[derive(Debug, Clone, Copy)]
pub struct IpOptions;
/// UDP without checksums.
#[derive(Debug, Clone, Copy)]
pub struct NoCheck;
/// Whether segments are acknowledged at once.
#[derive(Debug, Clone, Copy)]
pub struct QuickAck;
/// Lets a socket be bound to an address that is not there.
#[derive(Debug, Clone, Copy)]
pub struct Ipv6Freebind;
/// What the kernel tells of a TCP connection.
#[derive(Debug, Clone, Copy)]
pub struct TcpInfo;
