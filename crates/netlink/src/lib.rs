//! Netlink sockets, the rtnetlink, nfnetlink and ctnetlink messages that Sextant sends and reads,
//! and network namespaces. No program logic and no output.
//!
//! | here | holds |
//! |---|---|
//! | [`Socket`] | requests and their answers: acknowledged requests, single answers, dumps, batches |
//! | [`Listener`] | events of the multicast groups it joins |
//! | [`Request`], [`Message`], [`Attr`], [`Writer`] | framing: messages and attributes, written and read |
//! | [`Error`], [`Refusal`] | a failed exchange, and the kernel's reason for a refused request |
//! | [`rtnetlink`] | route lookups, and interfaces by index |
//! | [`nfnetlink`] | the header and message types of every netfilter subsystem |
//! | [`ctnetlink`] | entries of the connection table: attribute numbers; find, change, delete one |
//! | [`netns`] | network namespaces: create, open, find by inode number, enter |
//!
//! A [`Socket`] joins no group and a [`Listener`] sends no request, so events and answers never
//! share a receive buffer, and neither can overflow the other's.
//!
//! Constants come from `libc` under the kernel's names. What `libc` lacks is defined here, once.

mod attr;
pub mod ctnetlink;
mod endpoint;
mod error;
mod listener;
mod malformed;
mod message;
pub mod netns;
pub mod nfnetlink;
mod option;
mod refusal;
mod request;
pub mod rtnetlink;
mod socket;

pub use attr::Attr;
pub use attr::Attrs;
pub use attr::Writer;
pub use endpoint::Protocol;
pub use error::Error;
pub use listener::Listener;
pub use listener::Received;
pub use malformed::Malformed;
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
