//! What the programs hide addresses and make ids with, and how they do it. Pure.

/// Secrets of this run. Fixed, so that a failure can be repeated.
pub const HIDE_MASK: u64 = 0x0123_4567_89ab_cdef;
pub const HIDE_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
pub const ID_FACTOR: u64 = 0x0015_4a7c_159e_3779;

/// The inverse of an odd number modulo 2^64, by Newton's iteration.
pub fn inverse(odd: u64) -> u64 {
    (0..5).fold(odd, |inverse, _| {
        inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)))
    })
}

/// How an entry holds the address of an `nf_conn`.
pub fn hidden(address: u64) -> u64 {
    let product = (address ^ HIDE_MASK).wrapping_mul(HIDE_FACTOR);
    product ^ product >> 32
}
