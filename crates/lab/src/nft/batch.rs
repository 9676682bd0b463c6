//! The batch: its objects, how each is written as a message, and how the kernel answers.

use nix::errno::Errno;

use netlink::NLM_F_ACK;
use netlink::NLM_F_APPEND;
use netlink::NLM_F_CREATE;
use netlink::NLM_F_EXCL;
use netlink::Refusal;
use netlink::Request;
use netlink::Socket;
use netlink::Writer;
use netlink::nfnetlink;
use netlink::nfnetlink::NFNL_SUBSYS_NFTABLES;
use netlink::nfnetlink::nfgenmsg;

use crate::Hook;

use super::expr::Expr;
use super::expr::Family;
use super::uapi;

/// How a base chain is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    kind: &'static str,
    hook: Hook,
    priority: i32,
}

impl Base {
    /// A chain that sees every packet. At one hook the lowest `priority` is first (`NF_IP_PRI_*`).
    #[must_use]
    pub fn filter(hook: Hook, priority: i32) -> Self {
        Self {
            kind: "filter",
            hook,
            priority,
        }
    }

    /// A chain that sees the first packet of each connection.
    #[must_use]
    pub fn nat(hook: Hook, priority: i32) -> Self {
        Self {
            kind: "nat",
            hook,
            priority,
        }
    }

    fn write(&self, attrs: &mut Writer) {
        attrs.nest(uapi::NFTA_CHAIN_HOOK, |hook| {
            hook.put_u32_be(uapi::NFTA_HOOK_HOOKNUM, self.hook as u32);
            hook.put(uapi::NFTA_HOOK_PRIORITY, &self.priority.to_be_bytes());
        });
        attrs.put_str(uapi::NFTA_CHAIN_TYPE, self.kind);
    }
}

/// An object that the kernel refused, and with it the whole batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its index in the batch.
    pub object: usize,
    /// Its kind and name: `chain ip lab zone`.
    pub name: String,
    /// Why.
    pub refusal: Refusal,
}

/// Why a batch failed; the kernel created nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// These objects were refused, the cause first: objects that refer to a refused one are refused
    /// as well.
    #[error("nftables refused {}: {}", .0[0].name, .0[0].refusal)]
    Refused(Vec<Refused>),
    /// The batch itself was refused: no nf_tables in this kernel (`EOPNOTSUPP`) or a missing
    /// privilege (`EPERM`), or the exchange failed.
    #[error("nftables: {0}")]
    Batch(#[from] netlink::Error),
}

impl Error {
    /// The kernel's error number, if it refused.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused(objects) => objects.first().map(|object| object.refusal.errno),
            Self::Batch(error) => error.errno(),
        }
    }
}

/// A table and what is in it, to create at once and in this order.
#[derive(Debug, Clone)]
pub struct Batch {
    family: Family,
    table: String,
    objects: Vec<(String, Request)>,
}

impl Batch {
    /// Starts with the table.
    #[must_use]
    pub fn new(family: Family, table: &str) -> Self {
        let mut batch = Self {
            family,
            table: table.to_owned(),
            objects: Vec::new(),
        };
        let attrs = batch.add("table", "", uapi::NFT_MSG_NEWTABLE, NLM_F_EXCL);
        attrs.put_str(uapi::NFTA_TABLE_NAME, table);
        batch
    }

    /// How many objects were added, the table included.
    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Adds a chain, attached as `base` says or not at all.
    pub fn chain(&mut self, chain: &str, base: impl Into<Option<Base>>) {
        let table = self.table.clone();
        let attrs = self.add("chain", chain, uapi::NFT_MSG_NEWCHAIN, NLM_F_EXCL);
        attrs.put_str(uapi::NFTA_CHAIN_TABLE, &table);
        attrs.put_str(uapi::NFTA_CHAIN_NAME, chain);
        if let Some(base) = base.into() {
            base.write(attrs);
        }
    }

    /// Adds a rule at the end of a chain.
    pub fn rule(&mut self, chain: &str, exprs: &[Expr]) {
        let table = self.table.clone();
        let attrs = self.add("rule in chain", chain, uapi::NFT_MSG_NEWRULE, NLM_F_APPEND);
        attrs.put_str(uapi::NFTA_RULE_TABLE, &table);
        attrs.put_str(uapi::NFTA_RULE_CHAIN, chain);
        attrs.nest(uapi::NFTA_RULE_EXPRESSIONS, |list| {
            for expr in exprs {
                list.nest(uapi::NFTA_LIST_ELEM, |elem| expr.write(elem));
            }
        });
    }

    /// Creates all objects in the network namespace of `socket`, or none.
    ///
    /// # Errors
    /// [`Error::Refused`] names every object that the kernel refused.
    pub fn commit(self, socket: &mut Socket) -> Result<(), Error> {
        let (names, objects): (Vec<_>, Vec<_>) = self.objects.into_iter().unzip();
        let mut requests = vec![border(nfnetlink::NFNL_MSG_BATCH_BEGIN)];
        requests.extend(objects);
        requests.push(border(nfnetlink::NFNL_MSG_BATCH_END));
        let mut refused = Vec::new();
        for (index, refusal) in socket.transact(&mut requests)? {
            let object = index.wrapping_sub(1);
            let Some(name) = names.get(object).cloned() else {
                return Err(netlink::Error::Refused(refusal).into());
            };
            refused.push(Refused {
                object,
                name,
                refusal,
            });
        }
        if refused.is_empty() {
            Ok(())
        } else {
            Err(Error::Refused(refused))
        }
    }

    fn add(&mut self, what: &str, chain: &str, message: u8, flags: u16) -> &mut Writer {
        let name = format!("{what} {} {} {chain}", self.family.name(), self.table);
        let kind = nfnetlink::message_type(NFNL_SUBSYS_NFTABLES, message);
        let flags = flags | NLM_F_CREATE | NLM_F_ACK;
        let request = Request::new(kind, flags, &nfgenmsg(self.family as u8, 0));
        self.objects.push((name.trim_end().to_owned(), request));
        let last = self.objects.len() - 1;
        self.objects[last].1.attrs()
    }
}

/// The message that opens or closes a batch for nf_tables.
fn border(kind: u16) -> Request {
    Request::new(kind, 0, &nfgenmsg(0, NFNL_SUBSYS_NFTABLES.into()))
}
