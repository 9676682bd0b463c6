//! The table for people: one line per record, columns that explain themselves. Pure.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use shared::record::Flow;
use shared::record::flow::Nat;
use shared::record::flow::Tuple;
use shared::record::flow::Type;

use crate::route::Route;
use crate::route::RouteType;
use crate::unrouted::Unrouted;

const COLUMNS: [(&str, usize); 10] = [
    ("EVENT", 7),
    ("PROTO", 5),
    ("CALLER", 21),
    ("CALLED", 21),
    ("REAL DESTINATION", 21),
    ("REWRITTEN SOURCE", 21),
    ("GATEWAY", 15),
    ("VIA", 8),
    ("PREFIX", 18),
    ("NETNS", 10),
];

/// What stands where nothing is known, or nothing happened.
const NONE: &str = "-";

/// A table that is printed while it grows. Columns begin wide enough for IPv4 and widen with
/// what they hold, so a stream of IPv6 lines up after its first rows.
#[derive(Default)]
pub struct Table {
    begun: bool,
    widths: [usize; COLUMNS.len()],
    line: String,
}

impl Table {
    /// The header line, the first time only.
    pub fn header(&mut self) -> Option<String> {
        if self.begun {
            return None;
        }
        self.begun = true;
        self.widths = COLUMNS.map(|(_, width)| width);
        self.fill(COLUMNS.map(|(name, _)| Cow::Borrowed(name)));
        Some(self.line.clone())
    }

    /// The row of a record.
    pub fn row(&mut self, flow: &Flow, route: Option<Result<&Route, &Unrouted>>) -> &str {
        if flow.r#type == Type::Loss {
            self.line.clear();
            let place = flow.loss_where.as_deref().unwrap_or("an unknown place");
            let _ = match flow.count {
                Some(count) => write!(self.line, "LOSS    {count} lost at {place}"),
                None => write!(self.line, "LOSS    some lost at {place}"),
            };
            return &self.line;
        }
        let nat = flow.nat.as_deref().unwrap_or_default();
        let rewritten = flow
            .reply
            .as_ref()
            .filter(|_| nat.contains(&Nat::Snat))
            .map(|reply| end(reply.dst, reply.dport));
        self.fill([
            Cow::Borrowed(event(flow.r#type)),
            Cow::Borrowed(flow.proto.as_deref().unwrap_or(NONE)),
            or_none(flow.orig.as_ref().map(source)),
            or_none(flow.orig.as_ref().map(destination)),
            or_none(flow.reply.as_ref().map(source)),
            or_none(rewritten),
            gateway(route),
            via(route),
            or_none(known(route).and_then(|route| Some(route.prefix?.to_string()))),
            or_none(flow.netns.map(|netns| netns.to_string())),
        ]);
        &self.line
    }

    fn fill(&mut self, cells: [Cow<'_, str>; COLUMNS.len()]) {
        self.line.clear();
        for (cell, width) in cells.iter().zip(&mut self.widths) {
            // Escapes widen a name on its way out; names that need them are no one's everyday.
            *width = (*width).max(cell.chars().count());
            let _ = write!(self.line, "{cell:<width$}  ", width = *width);
        }
        self.line.truncate(self.line.trim_end().len());
    }
}

fn event(r#type: Type) -> &'static str {
    match r#type {
        Type::New => "new",
        Type::Update => "update",
        Type::Destroy => "destroy",
        Type::Dump => "dump",
        Type::Loss => "LOSS",
    }
}

fn or_none(cell: Option<String>) -> Cow<'static, str> {
    cell.map_or(Cow::Borrowed(NONE), Cow::Owned)
}

fn source(tuple: &Tuple) -> String {
    end(tuple.src, tuple.sport)
}

fn destination(tuple: &Tuple) -> String {
    end(tuple.dst, tuple.dport)
}

fn end(address: IpAddr, port: Option<u16>) -> String {
    match (address, port) {
        (address, None) => address.to_string(),
        (IpAddr::V4(v4), Some(port)) => format!("{v4}:{port}"),
        (IpAddr::V6(v6), Some(port)) => format!("[{v6}]:{port}"),
    }
}

fn known<'a>(route: Option<Result<&'a Route, &Unrouted>>) -> Option<&'a Route> {
    route.and_then(Result::ok)
}

/// The next hop, or in a word why there is none.
fn gateway(route: Option<Result<&Route, &Unrouted>>) -> Cow<'static, str> {
    match route {
        None => Cow::Borrowed(NONE),
        Some(Err(why)) => Cow::Owned(format!("({})", why.name())),
        Some(Ok(route)) => match route.gateway {
            Some(gateway) => Cow::Owned(gateway.to_string()),
            None if route.kind == RouteType::UNICAST => Cow::Borrowed("on-link"),
            None => route.kind.name(),
        },
    }
}

fn via<'a>(route: Option<Result<&'a Route, &Unrouted>>) -> Cow<'a, str> {
    let Some(route) = known(route) else {
        return Cow::Borrowed(NONE);
    };
    match (&route.oif_name, route.oif) {
        (Some(name), _) => name.text(),
        (None, Some(index)) => Cow::Owned(format!("if{index}")),
        (None, None) => Cow::Borrowed(NONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Basis;
    use crate::route::InterfaceName;
    use crate::route::Prefix;
    use shared::record::wire::Loss;

    fn flow() -> Flow {
        serde_json::from_str(
            r#"{"type":"new","ts_ns":1,"netns":4026532208,"proto":"tcp",
                "orig":{"src":"10.1.0.7","dst":"192.0.2.80","sport":40000,"dport":80},
                "reply":{"src":"10.9.0.2","dst":"192.0.2.2","sport":8080,"dport":40000},
                "nat":["snat","dnat"]}"#,
        )
        .unwrap()
    }

    fn cells(line: &str) -> Vec<&str> {
        line.split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .collect()
    }

    #[test]
    fn a_row_tells_both_ends_before_and_after_nat() {
        let route = Route {
            gateway: Some([192, 0, 2, 1].into()),
            oif: Some(3),
            oif_name: InterfaceName::new(b"up0"),
            prefix: Some(Prefix::everything([0; 4].into())),
            ..Route::without_way(RouteType::UNICAST, Basis::Whole)
        };
        let mut table = Table::default();
        let header = table.header().unwrap();
        assert_eq!(table.header(), None);
        assert_eq!(cells(&header), COLUMNS.map(|(name, _)| name));
        let row = table.row(&flow(), Some(Ok(&route))).to_owned();
        assert_eq!(
            cells(&row),
            [
                "new",
                "tcp",
                "10.1.0.7:40000",
                "192.0.2.80:80",
                "10.9.0.2:8080",
                "192.0.2.2:40000",
                "192.0.2.1",
                "up0",
                "0.0.0.0/0",
                "4026532208"
            ]
        );
        assert_eq!(
            row.find("10.9.0.2"),
            header.find("REAL"),
            "columns line up with the header"
        );
    }

    #[test]
    fn what_is_not_known_is_a_dash_and_why_there_is_no_route_is_said() {
        let bare = Flow {
            nat: None,
            netns: None,
            ..flow()
        };
        let mut table = Table::default();
        table.header();
        let row = table.row(&bare, Some(Err(&Unrouted::NetnsUntold)));
        assert_eq!(
            cells(row)[5..],
            ["-", "(namespace not told)", "-", "-", "-"]
        );
        let on_link = Route::without_way(RouteType::UNICAST, Basis::Whole);
        assert_eq!(cells(table.row(&bare, Some(Ok(&on_link))))[6], "on-link");
        let local = Route::without_way(RouteType::LOCAL, Basis::Whole);
        assert_eq!(cells(table.row(&bare, Some(Ok(&local))))[6], "local");
    }

    #[test]
    fn wide_cells_widen_their_column_for_good() {
        let mut wide = flow();
        wide.orig.as_mut().unwrap().src = "2001:db8:1111:2222:3333:4444:5555:6666".parse().unwrap();
        let mut table = Table::default();
        table.header();
        let at = |row: &str| row.find("192.0.2.80").unwrap();
        let first = at(table.row(&wide, None));
        assert_eq!(at(table.row(&flow(), None)), first);
    }

    #[test]
    fn a_loss_cannot_be_overlooked() {
        let mut table = Table::default();
        let row = table.row(&Flow::loss(1, Loss::RingOverwritten, 42), None);
        assert_eq!(row, "LOSS    42 lost at ring_overwritten");
    }
}
