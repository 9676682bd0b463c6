//! The text form: a table with one line per record. Pure.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::net::SocketAddr;

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

/// An empty cell.
const NONE: &str = "-";

/// A table that is printed row by row. Columns start wide enough for IPv4 and grow with their
/// cells, so IPv6 rows line up after the first ones.
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
        self.fill(COLUMNS.map(|(name, _)| name.to_owned()));
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
        let (orig, reply) = (flow.orig.as_ref(), flow.reply.as_ref());
        let rewritten = reply.filter(|_| nat.contains(&Nat::Snat));
        let known = route.and_then(Result::ok);
        let cells = [
            Some(event(flow.r#type).to_owned()),
            flow.proto.as_ref().map(ToString::to_string),
            orig.map(source),
            orig.map(destination),
            reply.map(source),
            rewritten.map(destination),
            route.map(gateway),
            known.and_then(Route::interface),
            known.and_then(|route| Some(route.prefix?.to_string())),
            flow.netns.map(|netns| netns.to_string()),
        ];
        self.fill(cells.map(|cell| cell.unwrap_or_else(|| NONE.to_owned())));
        &self.line
    }

    fn fill(&mut self, cells: [String; COLUMNS.len()]) {
        self.line.clear();
        for (cell, width) in cells.iter().zip(&mut self.widths) {
            // A name that has to be escaped gets wider than its column; such names are rare.
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

fn source(tuple: &Tuple) -> String {
    end(tuple.src, tuple.sport)
}

fn destination(tuple: &Tuple) -> String {
    end(tuple.dst, tuple.dport)
}

fn end(address: IpAddr, port: Option<u16>) -> String {
    match port {
        None => address.to_string(),
        Some(port) => SocketAddr::new(address, port).to_string(),
    }
}

/// The next hop, or a word for why there is none.
fn gateway(route: Result<&Route, &Unrouted>) -> String {
    match route {
        Err(why) => format!("({})", why.name()),
        Ok(route) => match route.gateway {
            Some(gateway) => gateway.to_string(),
            None if route.kind == RouteType::UNICAST => "on-link".to_owned(),
            None => route.kind.name().into_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Basis;
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
    fn a_row_has_both_ends_before_and_after_nat() {
        let route = Route {
            gateway: Some([192, 0, 2, 1].into()),
            oif: Some(3),
            oif_name: Some("up0".into()),
            prefix: Some(Prefix([0; 4].into(), 0)),
            ..Route::without_next_hop(RouteType::UNICAST, Basis::Full)
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
    fn unknown_is_a_dash_and_no_route_has_a_reason() {
        let bare = Flow {
            nat: None,
            netns: None,
            ..flow()
        };
        let mut table = Table::default();
        table.header();
        let row = table.row(&bare, Some(Err(&Unrouted::NetnsUnknown)));
        assert_eq!(cells(row)[5..], ["-", "(namespace unknown)", "-", "-", "-"]);
        let on_link = Route::without_next_hop(RouteType::UNICAST, Basis::Full);
        assert_eq!(cells(table.row(&bare, Some(Ok(&on_link))))[6], "on-link");
        let local = Route::without_next_hop(RouteType::LOCAL, Basis::Full);
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
        let row = table.row(&Flow::loss(Some(1), Loss::RingOverwritten, 42), None);
        assert_eq!(row, "LOSS    42 lost at ring_overwritten");
    }
}
