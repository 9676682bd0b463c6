//! Any bytes as an offsets document. What decodes must encode to the same bytes again.
//!
//! The bytes are tried as they are, and once more sealed.
#![no_main]

mod seal;

use libfuzzer_sys::fuzz_target;
use shared::offsets::codec;

fuzz_target!(|bytes: &[u8]| seal::both(bytes, check));

fn check(bytes: &[u8]) {
    if let Ok(document) = codec::decode(bytes) {
        let again = codec::encode(&document).expect("it was no larger when it was read");
        assert_eq!(again, bytes, "{document:?}");
        assert_eq!(codec::decode(&again), Ok(document));
    }
}
