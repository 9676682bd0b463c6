//! The batch: its objects, how each is written as a message, and what the kernel said to it.

use nix::errno::Errno;

use netlink;
use netlink::NLM_F_ACK;
use netlink::NLM_F_APPEND;
use netlink::NLM_F_CREATE;
use netlink::NLM_F_EXCL;
use netlink::Refusal;
use netlink::Request;
use netlink::Socket;
use netlink::Writer;

use super::Expr;
use super::uapi;

/// Family of a table (`NFPROTO_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Family {
    /// IPv4 and IPv6 in one table; NAT chains in it need 5.2.
    Inet = 1,
    /// IPv4.
    Ip = 2,
    /// IPv6.
    Ip6 = 10,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
        }
    }
}

/// What a base chain is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    /// Sees every packet.
    Filter,
    /// Sees the first packet of each connection.
    Nat,
    /// Like `Filter` at the output hook, and packets it changes are routed anew.
    Route,
}

/// Where a base chain is attached (`NF_INET_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Hook {
    /// Received, not yet routed.
    Prerouting = 0,
    /// For this host.
    Input = 1,
    /// For another host.
    Forward = 2,
    /// From this host.
    Output = 3,
    /// About to be transmitted.
    Postrouting = 4,
}

/// How a chain is attached; a chain that is not sees no packet by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// What it is for.
    pub kind: ChainKind,
    /// Where it is attached.
    pub hook: Hook,
    /// Order at the hook, lowest first. Connection tracking is at -200 (`NF_IP_PRI_CONNTRACK`).
    pub priority: i32,
}

impl Base {
    fn write(&self, attrs: &mut Writer) {
        attrs.nest(uapi::NFTA_CHAIN_HOOK, |hook| {
            hook.put_u32_be(uapi::NFTA_HOOK_HOOKNUM, self.hook as u32);
            hook.put(uapi::NFTA_HOOK_PRIORITY, &self.priority.to_be_bytes());
        });
        let kind = match self.kind {
            ChainKind::Filter => "filter",
            ChainKind::Nat => "nat",
            ChainKind::Route => "route",
        };
        attrs.put_str(uapi::NFTA_CHAIN_TYPE, kind);
    }
}

/// An object that the kernel refused, and with it the whole batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// How many objects the batch has before it.
    pub object: usize,
    /// What it was, as a person would name it: `chain ip lab zone`.
    pub name: String,
    /// Why.
    pub refusal: Refusal,
}

/// Why a batch was not carried out; nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// These objects were refused, the cause first: one that was refused takes along those that
    /// refer to it.
    #[error("nftables refused {}: {}", .0[0].name, .0[0].refusal)]
    Refused(Vec<Refused>),
    /// The batch as such was refused: no nf_tables in this kernel (`EOPNOTSUPP`) or a missing
    /// privilege (`EPERM`), or the exchange failed.
    #[error("nftables: {0}")]
    Batch(#[from] netlink::Error),
}

impl Error {
    /// What the kernel refused it with, if it did.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused(objects) => objects.first().map(|object| object.refusal.errno),
            Self::Batch(error) => error.errno(),
        }
    }
}

/// Objects to create at once, in this order.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    objects: Vec<(String, Request)>,
}

impl Batch {
    /// How many objects were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether none was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Adds a table.
    pub fn table(&mut self, family: Family, table: &str) {
        let name = format!("table {} {table}", family.name());
        self.add(name, uapi::NFT_MSG_NEWTABLE, NLM_F_EXCL, family, |attrs| {
            attrs.put_str(uapi::NFTA_TABLE_NAME, table);
        });
    }

    /// Adds a chain, attached as `base` says or not at all.
    pub fn chain(&mut self, family: Family, table: &str, chain: &str, base: Option<Base>) {
        let name = format!("chain {} {table} {chain}", family.name());
        self.add(name, uapi::NFT_MSG_NEWCHAIN, NLM_F_EXCL, family, |attrs| {
            attrs.put_str(uapi::NFTA_CHAIN_TABLE, table);
            attrs.put_str(uapi::NFTA_CHAIN_NAME, chain);
            if let Some(base) = base {
                base.write(attrs);
            }
        });
    }

    /// Adds a rule at the end of a chain.
    pub fn rule(&mut self, family: Family, table: &str, chain: &str, exprs: &[Expr]) {
        let name = format!("rule in chain {} {table} {chain}", family.name());
        self.add(name, uapi::NFT_MSG_NEWRULE, NLM_F_APPEND, family, |attrs| {
            attrs.put_str(uapi::NFTA_RULE_TABLE, table);
            attrs.put_str(uapi::NFTA_RULE_CHAIN, chain);
            attrs.nest(uapi::NFTA_RULE_EXPRESSIONS, |list| {
                for expr in exprs {
                    list.nest(uapi::NFTA_LIST_ELEM, |elem| expr.write(elem));
                }
            });
        });
    }

    /// Creates all objects in the network namespace of `socket`, or none.
    ///
    /// # Errors
    /// [`Error::Refused`] names every object that the kernel refused.
    pub fn commit(self, socket: &mut Socket) -> Result<(), Error> {
        let (names, objects): (Vec<_>, Vec<_>) = self.objects.into_iter().unzip();
        let mut requests = vec![border(uapi::NFNL_MSG_BATCH_BEGIN)];
        requests.extend(objects);
        requests.push(border(uapi::NFNL_MSG_BATCH_END));
        let mut refused = Vec::new();
        for (index, refusal) in socket.transact(&mut requests)? {
            match index
                .checked_sub(1)
                .and_then(|object| Some((object, names.get(object)?)))
            {
                Some((object, name)) => {
                    refused.push(Refused {
                        object,
                        name: name.clone(),
                        refusal,
                    });
                }
                None => return Err(netlink::Error::Refused(refusal).into()),
            }
        }
        if refused.is_empty() {
            Ok(())
        } else {
            Err(Error::Refused(refused))
        }
    }

    fn add(
        &mut self,
        name: String,
        message: u8,
        flags: u16,
        family: Family,
        fill: impl FnOnce(&mut Writer),
    ) {
        let kind = u16::from_be_bytes([uapi::NFNL_SUBSYS_NFTABLES, message]);
        let mut request = Request::new(
            kind,
            flags | NLM_F_CREATE | NLM_F_ACK,
            &nfgenmsg(family as u8, 0),
        );
        fill(request.attrs());
        self.objects.push((name, request));
    }
}

/// The message that opens or closes a batch for nf_tables.
fn border(kind: u16) -> Request {
    Request::new(kind, 0, &nfgenmsg(0, u16::from(uapi::NFNL_SUBSYS_NFTABLES)))
}

/// `struct nfgenmsg`: family, version 0 and a resource number in network order.
fn nfgenmsg(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}
