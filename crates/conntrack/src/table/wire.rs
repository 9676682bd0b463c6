//! Keys and values exactly as they lie in the pinned maps: Rust's view of
//! `bpf/include/flow_table.h`, which is the truth; `bpf::wire` compares both at compile time.
//! Each field is documented there.

use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// Key of an IPv4 connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Flow4Key {
    pub netns_ino: u32,
    pub zone: u16,
    pub proto: u8,
    pub pad0: u8,
    pub sport: [u8; 2],
    pub dport: [u8; 2],
    pub src: [u8; 4],
    pub dst: [u8; 4],
}

/// Key of an IPv6 connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Flow6Key {
    pub netns_ino: u32,
    pub zone: u16,
    pub proto: u8,
    pub pad0: u8,
    pub sport: [u8; 2],
    pub dport: [u8; 2],
    pub addrs: [[u8; 16]; 2],
}

/// What is kept of an IPv4 connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Flow4 {
    pub state: State,
    pub reply_src: [u8; 4],
    pub reply_dst: [u8; 4],
}

/// What is kept of an IPv6 connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Flow6 {
    pub state: State,
    pub reply_addrs: [[u8; 16]; 2],
}

/// The first part of a value, the same for both families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct State {
    pub ct: u64,
    pub ct_id: u64,
    pub first_seen_ns: u64,
    pub status: u32,
    pub mark: u32,
    pub reply_sport: [u8; 2],
    pub reply_dport: [u8; 2],
    pub nat: u8,
    pub flags: u8,
    pub known: u8,
    pub pad0: u8,
}
