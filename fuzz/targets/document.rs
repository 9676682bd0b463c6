//! Any bytes as an offsets document. What decodes must encode to the same bytes again.
//!
//! The bytes are tried as they are, and once more with the length and checksum that they should have,
//! without which hardly any would get past the head.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::offsets::codec;

/// Magic and schema; then come the length of the body and its checksum.
const BEFORE_LENGTH: usize = 12;
const HEAD_BYTES: usize = 24;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    if let Some(sealed) = seal(bytes) {
        check(&sealed);
    }
});

fn check(bytes: &[u8]) {
    if let Ok(document) = codec::decode(bytes) {
        let again = codec::encode(&document).expect("it was no larger when it was read");
        assert_eq!(again, bytes, "{document:?}");
        assert_eq!(codec::decode(&again), Ok(document));
    }
}

fn seal(bytes: &[u8]) -> Option<Vec<u8>> {
    let (head, body) = bytes.split_at_checked(HEAD_BYTES)?;
    let len = u32::try_from(body.len()).ok()?;
    // FNV-1a.
    let checksum = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let head = &head[..BEFORE_LENGTH];
    Some([head, &len.to_le_bytes(), &checksum.to_le_bytes(), body].concat())
}
