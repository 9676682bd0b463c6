//! Reads values from captured bytes, numbers in the byte order of the machine. Nothing is at an offset
//! beyond the bytes.

use memchr::memmem;

/// The indices that are `further_bytes` after the beginning of a landmark. Usually there is one; but an
/// earlier packet of the same socket may still be in memory behind this one.
#[must_use]
pub fn indices_of(buffer: &[u8], landmark: &[u8], further_bytes: i32) -> Vec<u16> {
    if landmark.is_empty() {
        return Vec::new();
    }
    memmem::find_iter(buffer, landmark)
        .filter_map(|at| i32::try_from(at).ok()?.checked_add(further_bytes))
        .filter_map(|index| u16::try_from(index).ok())
        .collect()
}

/// Whether a value is at an offset. Called thousands of times per sample, so values of the usual sizes are
/// compared as numbers.
#[must_use]
pub fn holds(bytes: &[u8], offset: u32, value: &[u8]) -> bool {
    let there = bytes.get(offset as usize..).unwrap_or_default();
    match value.len() {
        2 => there.first_chunk::<2>() == value.first_chunk(),
        4 => there.first_chunk::<4>() == value.first_chunk(),
        8 => there.first_chunk::<8>() == value.first_chunk(),
        _ => there.starts_with(value),
    }
}

fn array_at<const N: usize>(bytes: &[u8], offset: u32) -> Option<[u8; N]> {
    bytes.get(offset as usize..)?.first_chunk().copied()
}

/// The `u16` at an offset.
#[must_use]
pub fn index_at(bytes: &[u8], offset: u32) -> Option<u16> {
    array_at(bytes, offset).map(u16::from_ne_bytes)
}

/// The `u32` at an offset.
#[must_use]
pub fn number_at(bytes: &[u8], offset: u32) -> Option<u32> {
    array_at(bytes, offset).map(u32::from_ne_bytes)
}

/// The `u64` at an offset.
#[must_use]
pub fn word_at(bytes: &[u8], offset: u32) -> Option<u64> {
    array_at(bytes, offset).map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_landmark_is_found_wherever_it_is() {
        for (buffer, landmark, further, indices) in [
            (&b"..abc."[..], &b"abc"[..], 4, &[6][..]),
            (b"..abc.", b"abc", -2, &[0]),
            (b"..abc.", b"abc", -3, &[]),
            (b"abcabc", b"abc", 0, &[0, 3]),
            (b"ab", b"abc", 0, &[]),
        ] {
            assert_eq!(indices_of(buffer, landmark, further), indices);
        }
    }
}
