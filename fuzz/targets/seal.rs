//! Seals bytes with the right length and checksum: without these, hardly any input gets past the head.

/// Magic and version; then come the length of the body and its checksum.
const BEFORE_LENGTH: usize = 12;
const HEAD_BYTES: usize = 24;

/// Checks bytes as they are, and once more sealed.
pub fn both(bytes: &[u8], check: fn(&[u8])) {
    check(bytes);
    if let Some(sealed) = seal(bytes) {
        check(&sealed);
    }
}

/// The same bytes, sealed; none if they are too few.
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
