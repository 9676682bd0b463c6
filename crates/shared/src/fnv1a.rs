//! The FNV-1a hash, 64 bits: notices damage and differences. It protects against no attacker.

/// Hash of values, each taken as one step; of bytes it is the standard FNV-1a.
#[must_use]
pub fn hash(values: impl IntoIterator<Item = u64>) -> u64 {
    values
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, value| {
            (hash ^ value).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn bytes_hash_as_in_the_published_vectors() {
        for (text, expected) in [
            ("", 0xcbf2_9ce4_8422_2325),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ] {
            assert_eq!(hash(text.bytes().map(u64::from)), expected, "{text}");
        }
    }
}
