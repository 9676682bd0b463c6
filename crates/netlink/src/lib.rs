//! Netlink: framing, attributes, request sockets and event listeners.
//! Knows the protocol of netlink itself and no family's messages: those stay with their users.
//!
//! Two kinds of socket, so that neither can lose what belongs to the other: a [`Socket`] sends
//! requests and reads their answers, a [`Listener`] joins groups and only reads events.

mod attr;
pub mod ctnetlink;
mod endpoint;
mod error;
mod listener;
mod message;
pub mod netns;
mod option;
mod refusal;
mod request;
mod socket;

pub use attr::Attr;
pub use attr::Attrs;
pub use attr::Writer;
pub use endpoint::Protocol;
pub use error::Error;
pub use error::Malformed;
pub use listener::Listener;
pub use listener::Received;
pub use message::Message;
pub use message::Messages;
pub use refusal::Refusal;
pub use request::NLM_F_ACK;
pub use request::NLM_F_APPEND;
pub use request::NLM_F_CREATE;
pub use request::NLM_F_EXCL;
pub use request::Request;
pub use socket::DumpEnd;
pub use socket::Socket;
