//! Socket options that nix does not name, by its own macros.

use std::ffi::OsString;
use std::mem::offset_of;
use std::os::fd::AsFd;

use nix::sys::socket::getsockopt;
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
    [u32; TCP_INFO_WORDS],
    GetStruct<[u32; TCP_INFO_WORDS]>
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
/// What the kernel tells of a TCP connection: the beginning of `struct tcp_info`, which every kernel
/// has. The whole has grown with them, and an old one gives less than is asked for.
#[derive(Debug, Clone, Copy)]
pub struct TcpInfo;

const TCP_INFO_WORDS: usize = RTTVAR_WORD + 1;
const RTT_WORD: usize = offset_of!(libc::tcp_info, tcpi_rtt) / 4;
const RTTVAR_WORD: usize = offset_of!(libc::tcp_info, tcpi_rttvar) / 4;

/// Round-trip time and its variation, in microseconds.
///
/// # Errors
/// If the socket is no TCP connection.
pub fn round_trip_us(socket: &impl AsFd) -> nix::Result<(u32, u32)> {
    let info = getsockopt(socket, TcpInfo)?;
    Ok((info[RTT_WORD], info[RTTVAR_WORD]))
}
