//! The names of the places that can be measured. What is known of each is in the table.

use std::fmt;

use bincode::Decode;
use bincode::Encode;
use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::DecodeError;
use bincode::error::EncodeError;
use shared::offsets::Field;

/// A place in a struct: a field that can be asked for, or one that only helps to find another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A field with a name in the document.
    Field(Field),
    /// `struct socket *` of a sock; the only pointer from one to the other.
    SockSocket,
    /// The inode number of a socket, in the inode that is allocated together with it.
    SocketIno,
}

impl Place {
    /// Bytes that it takes.
    #[must_use]
    pub const fn size_bytes(self) -> u32 {
        match self {
            Self::Field(field) => field.size_bytes(),
            Self::SockSocket | Self::SocketIno => 8,
        }
    }

    /// The kernel's own path.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Field(field) => field.path(),
            Self::SockSocket => "sock.sk_socket",
            Self::SocketIno => "socket_alloc.vfs_inode.i_ino",
        }
    }

    /// The place of this path.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        let helpers = [Self::SockSocket, Self::SocketIno];
        let helper = helpers.into_iter().find(|place| place.path() == path);
        helper.or_else(|| path.parse().ok().map(Self::Field))
    }
}

impl From<Field> for Place {
    fn from(field: Field) -> Self {
        Self::Field(field)
    }
}

/// Encoded as its path, which is a contract; its position in a list is not.
impl Encode for Place {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.path().encode(encoder)
    }
}

impl<C> Decode<C> for Place {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let path = String::decode(decoder)?;
        Self::of_path(&path).ok_or(DecodeError::Other("unknown place"))
    }
}
bincode::impl_borrow_decode!(Place);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.path())
    }
}
