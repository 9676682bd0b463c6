//! Records on stdout: NDJSON for programs, lines like those of conntrack(8) for people.

use std::fmt::Write as _;
use std::io;
use std::io::StdoutLock;

use shared::line::Lines;
use shared::record::Flow;
use shared::record::Record;
use shared::record::proto;
use shared::record::status;
use shared::record::wire;
use shared::record::wire::Loss;
use shared::record::wire::kind;
use shared::record::wire::known;
use shared::ring::layout::Source;

use crate::cli::Format;

/// Standard output in one format, for records of one source.
pub struct Output {
    format: Format,
    source: Source,
    lines: Lines<StdoutLock<'static>>,
}

impl Output {
    /// Locks stdout.
    pub fn new(format: Format, source: Source) -> Self {
        Self {
            format,
            source,
            lines: Lines::stdout(),
        }
    }

    /// Writes one record.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        match self.format {
            Format::None => Ok(()),
            Format::Text => self.lines.text(&text(record)),
            Format::Json => match Flow::from_record(record, self.source.name()) {
                Some(flow) => self.lines.json(&flow),
                None => Ok(()),
            },
        }
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()
    }
}

/// A record as `conntrack -E` shows it, followed by what it does not show.
pub fn text(record: &Record) -> String {
    let label = match record.r#type {
        kind::NEW => "[NEW]",
        kind::UPDATE => "[UPDATE]",
        kind::DESTROY => "[DESTROY]",
        kind::LOSS => {
            let place = Loss::from_number(record.loss_where).map_or("unknown", Loss::name);
            let count = record.packets[0];
            return format!("{:>9} {count} events at {place}", "[LOST]");
        }
        _ => "",
    };
    let name = proto::name(record.proto);
    let has = |bit| record.knows(known::STATUS) && record.status & bit != 0;
    let is_unreplied = record.knows(known::STATUS) && !has(status::SEEN_REPLY);
    let mut line = format!(
        "{label:>9} {name:<8} {}{}{}{}{}",
        record.proto,
        tuple(
            record,
            &record.orig_src,
            &record.orig_dst,
            record.orig_sport,
            record.orig_dport
        ),
        if is_unreplied {
            " [UNREPLIED]"
        } else if !record.knows(known::STATUS) {
            " [STATUS UNKNOWN]"
        } else {
            ""
        },
        tuple(
            record,
            &record.reply_src,
            &record.reply_dst,
            record.reply_sport,
            record.reply_dport
        ),
        if has(status::ASSURED) {
            " [ASSURED]"
        } else {
            ""
        },
    );
    for (name, bit, value) in [
        ("mark", known::MARK, record.mark),
        ("zone", known::ZONE, record.zone.into()),
        ("netns", known::NETNS, record.netns_ino),
    ] {
        if record.knows(bit) && (value != 0 || bit == known::NETNS) {
            let _ = write!(line, " {name}={value}");
        }
    }
    line
}

fn tuple(record: &Record, src: &[u8; 16], dst: &[u8; 16], sport: u16, dport: u16) -> String {
    let [src, dst] = [src, dst].map(|bytes| wire::address(record.family, bytes));
    let [r#type, code] = dport.to_be_bytes();
    let ports = match (record.proto, sport, dport) {
        (proto::ICMP | proto::ICMPV6, ..) => format!(" type={type} code={code} id={sport}"),
        (_, 0, 0) => String::new(),
        _ => format!(" sport={sport} dport={dport}"),
    };
    format!(" src={src} dst={dst}{ports}")
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn dnat() -> Record {
        let v4 = |last| wire::address_bytes(IpAddr::from([10, 0, 0, last]));
        Record {
            r#type: kind::NEW,
            family: wire::family::IPV4,
            proto: proto::UDP,
            known: known::STATUS | known::NETNS | known::MARK,
            netns_ino: 7,
            orig_src: v4(1),
            orig_dst: v4(2),
            reply_src: v4(3),
            reply_dst: v4(1),
            orig_sport: 4000,
            orig_dport: 53,
            reply_sport: 5353,
            reply_dport: 4000,
            ..Record::BLANK
        }
    }

    #[test]
    fn a_line_is_what_conntrack_shows() {
        assert_eq!(
            text(&dnat()),
            "    [NEW] udp      17 src=10.0.0.1 dst=10.0.0.2 sport=4000 dport=53 [UNREPLIED] \
             src=10.0.0.3 dst=10.0.0.1 sport=5353 dport=4000 netns=7"
        );
        let assured = Record {
            r#type: kind::DESTROY,
            proto: proto::ICMP,
            status: status::SEEN_REPLY | status::ASSURED,
            mark: 9,
            orig_dport: 8 << 8,
            reply_dport: 0,
            ..dnat()
        };
        assert_eq!(
            text(&assured),
            "[DESTROY] icmp     1 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=4000 \
             src=10.0.0.3 dst=10.0.0.1 type=0 code=0 id=5353 [ASSURED] mark=9 netns=7"
        );
    }

    #[test]
    fn a_loss_says_where() {
        let line = text(&Record::loss(0, Loss::RingbufFull, 3));
        assert_eq!(line, "   [LOST] 3 events at ringbuf_full");
    }
}
