//! The record of an end that no event told: a dump no longer has the connection.

use shared::clock::monotonic_ns;
use shared::record::wire::Record;
use shared::record::wire::kind;
use shared::record::wire::known;

/// Such an end, with the present time. Status and mark are absent: what they last were is known, what they
/// were at the end is not.
pub fn untold_end(record: Record) -> Record {
    Record {
        r#type: kind::DESTROY,
        ts_mono_ns: monotonic_ns().unwrap_or(record.ts_mono_ns),
        status: 0,
        mark: 0,
        known: record.known & !(known::STATUS | known::MARK),
        ..record
    }
}
