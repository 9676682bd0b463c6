//! Reads the lines of `conntrack -E -o id,extended` of conntrack-tools. Pure; shares no code with the programs under test.

use super::event::Event;
use super::event::GRE;
use super::event::Key;
use super::event::Layer4;
use super::event::Tuple;
use super::event::What;

/// The event of a line; none if the line is another one.
///
/// # Errors
/// If the line is a new or an ended connection, and not of the known form.
pub fn event(line: &str) -> Result<Option<Event>, String> {
    let what = if line.contains("[NEW]") {
        What::New
    } else if line.contains("[DESTROY]") {
        What::Destroy
    } else {
        return Ok(None);
    };
    let (_, rest) = line.split_once(']').unwrap_or_default();
    // With -o timestamp, the first bracket is the time's.
    let rest = rest.split_once(']').map_or(rest, |(before, after)| {
        if before.trim_start().starts_with('[') {
            after
        } else {
            rest
        }
    });
    parse(what, rest)
        .map(Some)
        .ok_or_else(|| format!("not understood: {line}"))
}

fn parse(what: What, text: &str) -> Option<Event> {
    let words: Vec<&str> = text.split_whitespace().collect();
    // ipv4 2 udp 17 …
    let proto: u8 = words.get(3)?.parse().ok()?;
    let mut pairs = words.iter().filter_map(|word| word.split_once('='));
    let mut tuples = Vec::new();
    let (mut id, mut mark, mut zone, mut half) = (None, 0, 0, Half::default());
    for (name, value) in pairs.by_ref() {
        match name {
            "src" => half.src = Some(value.parse().ok()?),
            "dst" => half.dst = Some(value.parse().ok()?),
            "sport" | "type" | "srckey" => half.first = Some(number(value)?),
            "dport" | "code" | "dstkey" => half.second = Some(number(value)?),
            "id" if half.is_echo(proto) && half.id.is_none() => half.id = Some(number(value)?),
            "id" => id = Some(number(value)?),
            "mark" => mark = number(value)?,
            "zone" | "zone-orig" => zone = number(value)?,
            _ => {}
        }
        if let Some(tuple) = half.whole(proto) {
            tuples.push(tuple);
            half = Half::default();
        }
    }
    let &[orig, reply] = tuples.as_slice() else {
        return None;
    };
    Some(Event {
        what,
        key: Key {
            proto,
            orig,
            zone: zone as u16,
        },
        reply,
        id: id?,
        nat: None,
        confirmed: None,
        replied: Some(!text.contains("[UNREPLIED]")),
        assured: Some(text.contains("[ASSURED]")),
        mark: Some(mark as u32),
    })
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// What is known of a tuple while its words are read.
#[derive(Default)]
struct Half {
    src: Option<std::net::IpAddr>,
    dst: Option<std::net::IpAddr>,
    first: Option<u64>,
    second: Option<u64>,
    id: Option<u64>,
}

impl Half {
    fn is_echo(&self, proto: u8) -> bool {
        matches!(proto, super::event::ICMP | super::event::ICMPV6) && self.first.is_some()
    }

    fn whole(&self, proto: u8) -> Option<Tuple> {
        let (src, dst) = (self.src?, self.dst?);
        let layer4 = match proto {
            super::event::ICMP | super::event::ICMPV6 => Layer4::Icmp {
                kind: self.first? as u8,
                code: self.second? as u8,
                id: self.id? as u16,
            },
            super::event::TCP | super::event::UDP => {
                Layer4::Ports(self.first? as u16, self.second? as u16)
            }
            GRE => match (self.first? as u16, self.second? as u16) {
                (0, 0) => Layer4::Nothing,
                (first, second) => Layer4::Ports(first, second),
            },
            _ => Layer4::Nothing,
        };
        Some(Tuple { src, dst, layer4 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Event {
        event(line).unwrap().unwrap()
    }

    #[test]
    fn a_translated_connection_with_everything() {
        let event = read(
            "[1795853293.844945]\t[DESTROY] ipv4     2 udp      17 29 src=10.0.0.1 dst=10.0.0.9 sport=4 dport=53 \
             zone-orig=8 src=10.0.0.3 dst=10.0.0.1 sport=5353 dport=4 [ASSURED] mark=17 id=3914776984 [USERSPACE] portid=5",
        );
        assert_eq!(event.what, What::Destroy);
        assert_eq!(event.key.to_string(), "udp 10.0.0.1:4>10.0.0.9:53 zone 8");
        assert_eq!(event.reply.to_string(), "10.0.0.3:5353>10.0.0.1:4");
        assert_eq!((event.id, event.mark), (3_914_776_984, Some(17)));
        assert_eq!((event.replied, event.assured), (Some(true), Some(true)));
    }

    #[test]
    fn an_echo_has_two_kinds_of_id() {
        let event = read(
            "    [NEW] ipv4     2 icmp     1 30 src=127.0.0.1 dst=127.0.0.2 type=8 code=0 id=7 [UNREPLIED] \
             src=127.0.0.2 dst=127.0.0.1 type=0 code=0 id=9 id=605223337",
        );
        assert_eq!(
            event.key.orig.to_string(),
            "127.0.0.1>127.0.0.2 type 8/0 id 7"
        );
        assert_eq!(event.reply.to_string(), "127.0.0.2>127.0.0.1 type 0/0 id 9");
        assert_eq!((event.id, event.replied), (605_223_337, Some(false)));
        let nat = event.key.orig.translated(event.reply);
        assert_eq!((nat.source, nat.destination), (true, false));
    }

    #[test]
    fn gre_without_keys_has_nothing_but_addresses() {
        let event = read(
            "[NEW] ipv4     2 gre      47 30 timeout=30, stream_timeout=180 src=10.0.0.1 dst=10.0.0.2 srckey=0x0 dstkey=0x0 \
             [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 srckey=0x0 dstkey=0x0 id=5",
        );
        assert_eq!(event.key.orig.layer4, Layer4::Nothing);
    }

    #[test]
    fn what_is_not_understood_is_not_passed_over() {
        assert!(event("[NEW] ipv4 2 udp 17 30 src=10.0.0.1").is_err());
        assert_eq!(event("[UPDATE] ipv4 2 udp 17 30 src=10.0.0.1"), Ok(None));
    }
}
