//! With `--nat-only`.

use shared::record::wire::kind;

use crate::bench::Bench;
use crate::case::cases;
use crate::fake::Conn;

cases! {
    only_translated_connections_are_reported_and_kept
}

fn only_translated_connections_are_reported_and_kept(bench: &mut Bench) -> anyhow::Result<()> {
    for (base, conn) in [Conn::udp(1), Conn::udp6(1)].into_iter().enumerate() {
        let slot = 2 * base;
        bench.first_packet(slot, conn)?;
        bench.first_packet(slot + 1, conn.dnat(1))?;
        bench.records([kind::NEW])?;
        bench.entries_are(1)?;
        bench.destroyed(slot)?;
        bench.records([])?;
        bench.destroyed(slot + 1)?;
        bench.records([kind::DESTROY])?;
    }
    Ok(())
}
