//! The kernel structs that are searched, and which of them each hook shows.

/// What a hook shows.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub enum Event {
    /// A packet that is about to be transmitted.
    Packet,
    /// A TCP socket that changes state.
    SockState,
    /// The flow of an IPv4 route lookup.
    Route4,
    /// The flow of an IPv6 route lookup.
    Route6,
}

impl Event {
    /// Every kind of event.
    pub const ALL: [Self; 4] = [Self::Packet, Self::SockState, Self::Route4, Self::Route6];

    /// The struct that the hook hands over.
    #[must_use]
    pub const fn shows(self) -> Struct {
        match self {
            Self::Packet => Struct::SkBuff,
            Self::SockState => Struct::Sock,
            Self::Route4 => Struct::Flowi4,
            Self::Route6 => Struct::Flowi6,
        }
    }
}

/// A kernel struct in which fields are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Struct {
    /// A packet.
    SkBuff,
    /// The buffer that holds a packet's bytes.
    Buffer,
    /// A connection.
    NfConn,
    /// A network namespace.
    Net,
    /// A socket as the protocols see it: `sock`, `inet_sock` and `tcp_sock` begin together.
    Sock,
    /// A socket as the file system sees it: `socket`, and the inode behind it.
    Socket,
    /// The key of an IPv4 route lookup.
    Flowi4,
    /// The key of an IPv6 route lookup.
    Flowi6,
}

impl Struct {
    /// How many of its bytes are searched. More than the struct has had on any kernel, lock debugging
    /// included, because a field beyond the window can only be reported as missing.
    #[must_use]
    pub const fn window_bytes(self) -> u32 {
        match self {
            Self::Flowi4 | Self::Flowi6 => 256,
            Self::SkBuff => 512,
            Self::Buffer | Self::NfConn => 1024,
            Self::Socket => 1280,
            Self::Sock => 4096,
            Self::Net => 7168,
        }
    }

    /// Whether a hook hands it over.
    #[must_use]
    pub fn is_shown(self) -> bool {
        Event::ALL.iter().any(|event| event.shows() == self)
    }
}
