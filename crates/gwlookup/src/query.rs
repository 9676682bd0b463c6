//! Which addresses to look up for a connection. Pure.

use std::net::IpAddr;

use shared::record::Flow;

/// A route lookup in one namespace. Both addresses are of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Source of the packets; the kernel chooses if there is none.
    pub src: Option<IpAddr>,
    /// Their destination.
    pub dst: IpAddr,
}

impl Query {
    /// The lookup that decides the route of a connection; `None` if the record lacks a tuple, or they
    /// are of different families.
    ///
    /// The kernel routes after it has rewritten the destination and before it rewrites the source
    /// (`NF_INET_PRE_ROUTING` or `LOCAL_OUT`, routing, `POST_ROUTING`). So the destination is the
    /// reply's source, and the source is the original one.
    #[must_use]
    pub fn of(flow: &Flow) -> Option<Self> {
        let src = flow.orig.as_ref()?.src;
        let dst = flow.reply.as_ref()?.src;
        (src.is_ipv4() == dst.is_ipv4()).then_some(Self {
            src: Some(src),
            dst,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_destination_is_after_and_the_source_before_nat() {
        let flow: Flow = serde_json::from_str(
            r#"{"type":"new","ts_ns":1,
                "orig":{"src":"10.0.0.1","dst":"192.0.2.80"},
                "reply":{"src":"10.9.0.2","dst":"203.0.113.5"}}"#,
        )
        .unwrap();
        assert_eq!(
            Query::of(&flow),
            Some(Query {
                src: Some([10, 0, 0, 1].into()),
                dst: [10, 9, 0, 2].into(),
            })
        );
        let half = Flow {
            reply: None,
            ..flow
        };
        assert_eq!(Query::of(&half), None);
    }
}
