//! The contexts of the programs that user space runs for one entry.

use std::mem::offset_of;

use super::entry::Entry;
use super::skel::types;

/// That of `check_one`.
pub fn check(entry: &Entry) -> [u8; size_of::<types::check_request>()] {
    let mut request = [0; size_of::<types::check_request>()];
    let is_v6 = u64::from(entry.is_v6);
    put(
        &mut request,
        offset_of!(types::check_request, key),
        &entry.key,
    );
    put_word(&mut request, offset_of!(types::check_request, is_v6), is_v6);
    request
}

/// That of `end_gone`.
pub fn gone(entry: &Entry, id: u64, is_replaced: bool) -> [u8; size_of::<types::gone_request>()] {
    let mut request = [0; size_of::<types::gone_request>()];
    let is_v6 = u64::from(entry.is_v6);
    let replaced = u64::from(is_replaced);
    put(
        &mut request,
        offset_of!(types::gone_request, key),
        &entry.key,
    );
    put_word(&mut request, offset_of!(types::gone_request, is_v6), is_v6);
    put_word(&mut request, offset_of!(types::gone_request, id), id);
    put_word(
        &mut request,
        offset_of!(types::gone_request, is_replaced),
        replaced,
    );
    request
}

fn put(request: &mut [u8], at: usize, bytes: &[u8]) {
    request[at..at + bytes.len()].copy_from_slice(bytes);
}

fn put_word(request: &mut [u8], at: usize, word: u64) {
    put(request, at, &word.to_ne_bytes());
}
