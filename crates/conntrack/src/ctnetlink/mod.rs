//! Conntrack's netlink family: [`parse`] turns messages into records, [`dump`] asks for every entry,
//! [`listen`] receives the events. Sockets and numbers come from the library `netlink`.

pub mod dump;
pub mod listen;
pub mod modules;
mod parse;
pub mod scope;
mod tuple;
