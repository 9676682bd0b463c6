//! `write_ring PATH`: writes three records into a new ring, prints a line, and waits until it is
//! killed. The smallest writer; tests kill it to check the readers.

use std::env;
use std::io;
use std::io::Read as _;
use std::net::IpAddr;

use anyhow::Context as _;
use netlink::netns::Namespace;
use shared::line::Lines;
use shared::record::Record;
use shared::record::wire::address_bytes;
use shared::record::wire::family;
use shared::record::wire::kind;
use shared::record::wire::known;
use shared::ring::Writer;
use shared::ring::layout::Source;

fn main() -> anyhow::Result<()> {
    let path = env::args().nth(1).context("usage: write_ring PATH")?;
    let mut writer = Writer::create(&path.parse()?, 65_536, Source::Tracepoint)?;
    let here = address_bytes(IpAddr::from([127, 0, 0, 1]));
    let record = Record {
        r#type: kind::NEW,
        family: family::IPV4,
        proto: 17,
        known: known::NETNS,
        netns_ino: Namespace::current()?.inum(),
        orig_src: here,
        orig_dst: here,
        reply_src: here,
        reply_dst: here,
        ..Record::BLANK
    };
    for number in 0..3 {
        writer.push(&Record {
            ct_id: number,
            ..record
        });
    }
    writer.ring_doorbell();
    let mut out = Lines::stdout();
    out.text("written")?;
    out.flush()?;
    // Standard input stays silent and ends with the parent process.
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
