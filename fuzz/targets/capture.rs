//! Any bytes as a capture, which the solver then searches: each requested field has a verdict, in order, and an
//! offset is its only candidate. What decodes must survive another round trip; the bytes may differ, since a
//! second may be written in nanoseconds.
//!
//! The bytes are tried as they are, and once more sealed.
#![no_main]

mod seal;

use guesser::replay;
use libfuzzer_sys::fuzz_target;
use shared::offsets::Field;

fuzz_target!(|bytes: &[u8]| seal::both(bytes, check));

fn check(bytes: &[u8]) {
    let Ok(capture) = replay::decode(bytes) else {
        return;
    };
    let again = replay::encode(&capture).expect("it was no larger when it was read");
    assert_eq!(replay::decode(&again).as_ref(), Ok(&capture));
    let asked: Vec<Field> = capture.fields().collect();
    let (_, findings) = capture.solve();
    let judged: Vec<Field> = findings.iter().map(|finding| finding.field).collect();
    assert_eq!(judged, asked);
    for finding in findings {
        match finding.offset() {
            Some(offset) => assert_eq!(finding.candidates, [offset]),
            None => assert!(finding.reason.is_some(), "{}", finding.field),
        }
    }
}
