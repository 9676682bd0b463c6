//! The records of the storm: every word follows from the record's number, so that a torn one shows.

use shared::record::Record;
use shared::record::wire::kind;

/// The record of this number.
#[must_use]
pub fn record(number: u64) -> Record {
    let address = |salt: u64| {
        let high = 0xfd77 << 48 | (number & 0xffff_ffff) << 8 | salt;
        (u128::from(high) << 64 | u128::from(!number)).to_be_bytes()
    };
    let port = number as u16;
    Record {
        ts_mono_ns: number,
        ct_id: number,
        r#type: kind::NEW,
        proto: 17,
        netns_ino: number as u32,
        mark: number as u32,
        orig_src: address(1),
        orig_dst: address(2),
        reply_src: address(3),
        reply_dst: address(4),
        orig_sport: port,
        orig_dport: port,
        reply_sport: port,
        reply_dport: port,
        start_ns: number,
        packets: [number; 2],
        bytes: [number; 2],
        ..Record::BLANK
    }
}
