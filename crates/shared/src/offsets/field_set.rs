//! The sets of fields that can be requested by name.

use clap::ValueEnum;
use serde::Deserialize;

use super::Field;

/// A set of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldSet {
    /// A tracked connection: sk_buff._nfct, nf_conn, net.ns.inum
    Conntrack,
    /// A socket: sk_buff.sk, socket.sk, sock, inet_sock, tcp_sock, net.ns.inum
    Socket,
    /// Both, and the headers of sk_buff, flowi4 and flowi6
    All,
}

impl FieldSet {
    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conntrack => "conntrack",
            Self::Socket => "socket",
            Self::All => "all",
        }
    }

    /// The fields.
    #[must_use]
    pub fn fields(self) -> &'static [Field] {
        match self {
            Self::Conntrack => Field::CONNTRACK,
            Self::Socket => Field::SOCKET,
            Self::All => Field::ALL,
        }
    }
}
