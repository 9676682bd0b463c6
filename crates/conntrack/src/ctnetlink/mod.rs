//! Conntrack's netlink family: [`parse`] turns messages into records, [`dump`] asks for every entry,
//! [`namespaces`] does in every namespace, [`listen`] receives the events. Sockets and numbers come from
//! the library `netlink`.

pub mod deadline;
pub mod dump;
pub mod listen;
pub mod modules;
pub mod namespaces;
mod parse;
pub mod scope;
mod tuple;
