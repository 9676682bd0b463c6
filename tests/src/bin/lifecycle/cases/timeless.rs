//! A kernel on which the timeout is not proven.

use shared::record::status;
use shared::record::wire::kind;

use crate::bench::Bench;
use crate::bench::same;
use crate::case::cases;
use crate::fake::Conn;

cases! {
    without_a_timeout_nothing_expires
    without_a_timeout_the_status_still_tells_a_rebirth
}

fn without_a_timeout_nothing_expires(bench: &mut Bench) -> anyhow::Result<()> {
    let expires_in = -1000;
    for _ in 0..3 {
        bench.first_packet(
            0,
            Conn {
                expires_in,
                ..Conn::udp(1)
            },
        )?;
    }
    bench.records([kind::NEW])?;
    same("expiry", bench.entry()?.expires_jiffies(), 0)
}

fn without_a_timeout_the_status_still_tells_a_rebirth(bench: &mut Bench) -> anyhow::Result<()> {
    bench.first_packet(0, Conn::udp(1).with(status::SEEN_REPLY))?;
    bench.first_packet(0, Conn::udp(1))?;
    bench.records([kind::NEW, kind::DESTROY, kind::NEW])?;
    Ok(())
}
