//! Any bytes as a capture, and what the solver makes of it: a verdict on each field that was asked for,
//! in order, and no offset without the candidate that it is. What decodes must come through another
//! round trip; not as the same bytes, since a second may be written as so many nanoseconds.
//!
//! The bytes are tried as they are, and once more with the length and checksum that they should have,
//! without which hardly any would get past the head.
#![no_main]

use guesser::replay;
use libfuzzer_sys::fuzz_target;
use shared::offsets::Field;

/// Magic and version; then come the length of the body and its checksum.
const BEFORE_LENGTH: usize = 12;
const HEAD_BYTES: usize = 24;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    if let Some(sealed) = seal(bytes) {
        check(&sealed);
    }
});

fn check(bytes: &[u8]) {
    let Ok(capture) = replay::decode(bytes) else {
        return;
    };
    let again = replay::encode(&capture).expect("it was no larger when it was read");
    assert_eq!(replay::decode(&again).as_ref(), Ok(&capture));
    let asked: Vec<Field> = capture.fields().collect();
    let findings = capture.search().solver.findings();
    let judged: Vec<Field> = findings.iter().map(|finding| finding.field).collect();
    assert_eq!(judged, asked);
    for finding in findings {
        match finding.offset() {
            Some(offset) => assert_eq!(finding.candidates, [offset]),
            None => assert!(finding.reason.is_some(), "{}", finding.field),
        }
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
